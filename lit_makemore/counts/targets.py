"""Targets other than the next character: distributions over all characters, one per window.

Shapes: N examples, D distinct windows, B batch, T block_size, V vocab_size.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from lit_makemore.counts.ngrams import Baseline
from lit_makemore.network.mlp import probabilities
from lit_makemore.words.windows import Windows


class Tabulated:
    """A target for each distinct window of a stream; `number` (N,) says which is whose."""

    def __init__(self, windows: Windows, number: Tensor, table: Tensor) -> None:
        self._windows, self._table = windows, table.to(windows.device)  # (D, V)
        self._number = number.int().to(windows.device)

    def __len__(self) -> int:
        return len(self._windows)

    def __getitem__(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """The windows (B, T) and the targets (B, V) of the examples index (B,)."""
        x, _ = self._windows[index]
        return x, self._table[self._number[index.to(self._number.device)].long()]


class Expected(Tabulated):
    """The relative frequencies of the tokens that follow the window in the list as targets.

    So the cross-entropy and its gradient are the expected values for the windows drawn, without the
    noise of drawing the characters after them.
    """

    def __init__(self, windows: Windows, vocab_size: int) -> None:
        number, y = window_numbers(windows, vocab_size)
        counts = torch.zeros(int(number.max()) + 1, vocab_size)
        counts.index_put_((number, y), torch.ones(1), accumulate=True)
        super().__init__(windows, number, counts / counts.sum(1, keepdim=True))


class Given(Tabulated):
    """What a function returns for distinct windows (D, S) as targets (D, V).

    It may see further back than the network: S is `seen`, or T. Then a target is the mean over all
    examples with the window of T characters.
    """

    def __init__(
        self,
        windows: Windows,
        vocab_size: int,
        distribution: Callable[[Tensor], Tensor],
        seen: int | None = None,
    ) -> None:
        number, _ = window_numbers(windows, vocab_size)
        longer, longer_number = windows, number
        if seen not in (None, windows.block_size):
            longer = Windows(windows.stream, seen)
            longer_number, _ = window_numbers(longer, vocab_size)
        counts = longer_number.bincount()
        example = torch.empty(len(counts), dtype=torch.int64)
        example[longer_number] = torch.arange(len(number))  # some example of each longer window
        share = counts / number.bincount()[number[example]]  # of the examples with its T characters
        table = torch.zeros(int(number.max()) + 1, vocab_size)
        for part in torch.arange(len(example)).split(2**14):
            targets = distribution(longer[example[part]][0].cpu())
            table.index_add_(0, number[example[part]], (targets * share[part, None]).float())
        super().__init__(windows, number, table)


class Teacher(NamedTuple):
    """A network, windows (D, block_size) to logits (D, V), in evaluation mode, on the CPU."""

    net: nn.Module
    block_size: int


class Taught:
    """Knowledge distillation: the mean of the teachers' distributions, mixed with the counts'.

    It also shows which characters could follow a window, though in the training words none did
    (Hinton, Vinyals & Dean, 2015, https://arxiv.org/abs/1503.02531).
    """

    def __init__(self, teachers: Sequence[Teacher], counts: Baseline, counts_share: float) -> None:
        self._teachers, self._counts, self._share = teachers, counts, counts_share

    @torch.no_grad()
    def __call__(self, x: Tensor) -> Tensor:
        """Windows (D, S) to targets (D, V); each model reads the last characters of a window."""
        each = [probabilities(net(x[:, -block_size:])) for net, block_size in self._teachers]
        taught = torch.stack(each).mean(0)
        return (1 - self._share) * taught + self._share * self._counts.probabilities(x)


def window_numbers(windows: Windows, vocab_size: int) -> tuple[Tensor, Tensor]:
    """The number 0 … D - 1 of each example's window, and its next token; both (N,) int64."""
    number = torch.zeros(len(windows), dtype=torch.int64)
    pieces = torch.arange(len(windows)).split(2**16)  # all windows at once may not fit
    for t in range(windows.block_size):  # one character at a time: V ** T may be too large
        column = torch.cat([windows[index][0][:, t].cpu() for index in pieces])
        number = (number * vocab_size + column).unique(return_inverse=True)[1]
    return number, torch.cat([windows[index][1].cpu() for index in pieces])

"""Targets other than the next character: distributions over all characters, one per window.

Shapes: N examples, D distinct windows, P distinct pairs of window and next token, B batch,
T block_size, V vocab_size.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from lit_makemore.counts.ngrams import Baseline
from lit_makemore.network.mlp import probabilities
from lit_makemore.words.windows import Windows, ranges


class Expected:
    """The examples of a stream with the relative frequencies of the next token as targets.

    A short window occurs many times, with different characters after it. To draw an example means
    to draw a window, and then one of the characters that follow this window. Here the target is
    the relative frequency of all of them. So the cross-entropy and its gradient are the expected
    values for the windows drawn, without the noise of drawing the characters.
    """

    def __init__(self, windows: Windows, vocab_size: int) -> None:
        self._windows, self._vocab_size = windows, vocab_size
        number, y = window_numbers(windows, vocab_size)
        pairs, counts = (number * vocab_size + y).unique(return_counts=True)  # (P,), sorted
        of = pairs // vocab_size  # the number of the pair's window
        device = windows.device
        self._number = number.int().to(device)  # of each example's window, (N,)
        self._next = (pairs % vocab_size).to(device)  # the pair's next token
        self._share = (counts / number.bincount()[of]).float().to(device)
        self._length = of.bincount().to(device)  # pairs per window, (D,)
        self._start = self._length.cumsum(0) - self._length  # each window's first pair

    def __len__(self) -> int:
        return len(self._windows)

    def __getitem__(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """The windows (B, T) and the targets (B, V) of the examples index (B,)."""
        x, _ = self._windows[index]
        number = self._number[index.to(self._number.device)].long()
        lengths = self._length[number]
        row, pair = ranges(self._start[number], lengths)
        targets = torch.zeros(len(x), self._vocab_size, device=x.device)
        targets[row, self._next[pair]] = self._share[pair]
        return x, targets


class Given:
    """The examples of a stream with the targets that a given function returns for their windows.

    The function, distinct windows (D, S) to their targets (D, V), may see further back than the
    network: S is `seen`, or T. Then the target of a window is the mean over all examples with this
    window, of what the function returns for each.
    """

    def __init__(
        self,
        windows: Windows,
        vocab_size: int,
        distribution: Callable[[Tensor], Tensor],
        seen: int | None = None,
    ) -> None:
        self._windows = windows
        number, _ = window_numbers(windows, vocab_size)
        self._number = number.int().to(windows.device)  # of each example's window, (N,)
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
        self._table = table.to(windows.device)

    def __len__(self) -> int:
        return len(self._windows)

    def __getitem__(self, index: Tensor) -> tuple[Tensor, Tensor]:
        x, _ = self._windows[index]
        return x, self._table[self._number[index.to(self._number.device)].long()]


class Teacher(NamedTuple):
    """A network, windows (D, block_size) to logits (D, V), in evaluation mode, on the CPU."""

    net: nn.Module
    block_size: int


class Taught:
    """Knowledge distillation: the mean of the teachers' distributions, mixed with the counts'.

    The training words show only characters that did follow a window. A teacher's distribution also
    shows which others could follow it (Hinton, Vinyals & Dean, 2015,
    https://arxiv.org/abs/1503.02531). Of longer windows, each model reads the last characters.
    """

    def __init__(self, teachers: Sequence[Teacher], counts: Baseline, counts_share: float) -> None:
        self._teachers, self._counts, self._share = teachers, counts, counts_share

    @torch.no_grad()
    def __call__(self, x: Tensor) -> Tensor:
        """Windows (D, S) to targets (D, V); S is the longest block_size, or more."""
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

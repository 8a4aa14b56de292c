"""What the Trainer iterates over: minibatches to train on, examples to evaluate, words to score.

Shapes: N examples, G minibatches of a group, B batch, T block_size.
"""

from collections.abc import Callable, Iterator
from typing import Any, Literal

import torch
from torch import Tensor

from lit_makemore.counts.targets import Expected, Given
from lit_makemore.words.windows import Windows

Sampling = Literal["replacement", "shuffled"]
LARGEST_GROUP = 2**17  # examples; with their targets some megabytes


class MinibatchLoader:
    """Training minibatches for ever, one pass at a time, exactly where a checkpoint left off.

    Every process draws the same global minibatch and takes its slice of the rows, so that the
    number of processes does not change what is seen.

    Args:
        examples: with their targets.
        batch_size: B, rows of the global minibatch.
        generator: draws the order; owned by this loader, on the CPU.
        sampling: "replacement" draws B examples anew each time; "shuffled" passes through all of
            them in a new order each time, leaving out the last len(examples) % B.
        rank: number of this process.
        world_size: how many there are.
        repeat: whether every pass has the minibatches of the first one.

    Attribute group, if set, says how many minibatches come next, stacked as (G, B, …); fewer do
    where a pass or the memory ends.

    Raises:
        ValueError: a batch size that is no multiple of world_size or exceeds the examples.
    """

    def __init__(
        self,
        examples: Windows | Expected | Given,
        batch_size: int,
        generator: torch.Generator,
        sampling: Sampling = "replacement",
        rank: int = 0,
        world_size: int = 1,
        repeat: bool = False,
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, not {batch_size}")
        if batch_size % world_size:
            raise ValueError(
                f"batch_size {batch_size} is shared by {world_size} processes; make it a multiple"
            )
        if batch_size > len(examples):
            raise ValueError(
                f"batch_size {batch_size} exceeds the {len(examples)} training examples; "
                "make it smaller"
            )
        if sampling not in ("replacement", "shuffled"):
            raise ValueError(f"sampling is replacement or shuffled, not {sampling!r}")
        self.examples, self.batch_size, self.generator = examples, batch_size, generator
        self.sampling, self.repeat = sampling, repeat
        self.group: Callable[[], int] | None = None
        share = batch_size // world_size
        self._rows = slice(rank * share, (rank + 1) * share)
        self._position = 0  # minibatches of the current pass already given out
        self._pass_start = generator.get_state()
        self._resuming = False

    def __len__(self) -> int:
        return len(self.examples) // self.batch_size

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        if not self._resuming:
            if self.repeat:
                self.generator.set_state(self._pass_start)
            self._pass_start, self._position = self.generator.get_state(), 0
        self._resuming = False
        shuffled = self.sampling == "shuffled"
        if shuffled:
            self.generator.set_state(self._pass_start)
            order = torch.randperm(len(self.examples), generator=self.generator)
        while self._position < len(self):
            n = self._next_group() if self.group else 1
            if shuffled:
                index = order[self._position * self.batch_size :][: n * self.batch_size]
            else:  # in one call, which draws what n calls would
                index = torch.randint(
                    0, len(self.examples), (n * self.batch_size,), generator=self.generator
                )
            self._position += n
            index = index.view(n, self.batch_size)[:, self._rows]
            x, y = self.examples[index.flatten()]
            yield (
                (x.unflatten(0, index.shape), y.unflatten(0, index.shape)) if self.group else (x, y)
            )

    def _next_group(self) -> int:
        assert self.group is not None
        most = max(1, LARGEST_GROUP // self.batch_size)
        return min(self.group(), len(self) - self._position, most)

    def state_dict(self) -> dict[str, Any]:
        return {
            "generator": self.generator.get_state(),
            "pass_start": self._pass_start,
            "position": self._position,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.generator.set_state(state["generator"].cpu())
        self._pass_start, self._position = state["pass_start"].cpu(), state["position"]
        self._resuming = self._position < len(self)  # at the end of a pass the next one begins


class EvaluationLoader:
    """The distinct examples of a split, once: chunks of (windows, inverse, next tokens, weights).

    Many examples share a window, and the network need see it only once: `inverse` (B,) says which
    of the chunk's windows an example has, `weights` (B, 2) how often the example occurs, and how
    often in novel words.

    Args:
        examples: what windows.distinct returns, with such weights.
        device: where the chunks shall be.
        batch_size: examples of a global chunk.
        rank: number of this process, which takes its share of every chunk.
        world_size: how many there are.
    """

    def __init__(
        self,
        examples: tuple[Tensor, Tensor, Tensor],
        device: torch.device | str = "cpu",
        batch_size: int = 2**15,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        self._x, self._y, self._weights = examples
        self._device = device
        self._chunks = [
            chunk.tensor_split(world_size)[rank]
            for chunk in torch.arange(len(self._y)).split(batch_size)
        ]

    def __len__(self) -> int:
        return len(self._chunks)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor]]:
        for index in self._chunks:
            x = self._x[index]
            new = torch.ones(len(x), dtype=torch.bool)
            new[1:] = (x[1:] != x[:-1]).any(1)  # equal windows are neighbours
            chunk = x[new], new.cumsum(0) - 1, self._y[index], self._weights[index]
            yield tuple(part.to(self._device) for part in chunk)  # type: ignore[misc]


class WordLoader:
    """Words in order, as chunks of them; a process gets its share of every chunk.

    Args:
        words: the words.
        batch_size: words of a global chunk.
        rank: number of this process.
        world_size: how many there are.
    """

    def __init__(
        self, words: list[str], batch_size: int = 4096, rank: int = 0, world_size: int = 1
    ) -> None:
        self._chunks = []
        for start in range(0, len(words), batch_size):
            chunk = words[start : start + batch_size]
            cut = [len(chunk) * r // world_size for r in (rank, rank + 1)]
            self._chunks.append(chunk[cut[0] : cut[1]])

    def __len__(self) -> int:
        return len(self._chunks)

    def __iter__(self) -> Iterator[list[str]]:
        return iter(self._chunks)

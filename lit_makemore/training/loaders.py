"""What the Trainer iterates over: minibatches to train on, examples to evaluate, words to score.

Shapes: N examples, G minibatches of a group, B batch, T block_size.
"""

import logging
from collections.abc import Callable, Iterator
from typing import Any, Literal

import torch
from torch import Tensor

from lit_makemore.counts.targets import Expected, Given
from lit_makemore.words.windows import EvaluationBatch, Windows

log = logging.getLogger(__name__)
Sampling = Literal["replacement", "shuffled"]
CHUNK = 4096  # words that are scored at once
LARGEST_GROUP = 2**17  # examples of a group; with their targets some megabytes


class Order(torch.Generator):
    """Random numbers whose state may go to another process; the state of torch's own cannot."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (self.get_state().tolist(),)


def _restored(state: list[int]) -> torch.Generator:
    return Order().set_state(torch.tensor(state, dtype=torch.uint8))


class MinibatchLoader:
    """Training minibatches, a pass at a time; after load_state_dict the rest of a pass.

    All processes draw the same global minibatch, of which each takes its share of the rows.

    Args:
        examples: with their targets.
        batch_size: B, rows of the global minibatch, a multiple of world_size.
        generator: draws the order; owned by this object, on the CPU.
        sampling: "replacement" draws B examples for each minibatch; "shuffled" goes through all
            examples in a new order in each pass and leaves out the last N % B.
        repeat: whether every pass has the minibatches of the first one.
        limit: minibatches of a pass, or their share of those that fit, as the Trainer limits them.
        update: minibatches of an update, of which a pass has a whole number.

    Attribute group, if set, says how many minibatches come next. They are stacked as (G, B, …).
    There are fewer at the end of a pass, or where they would take too much memory.
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
        limit: int | float = 1.0,
        update: int = 1,
    ) -> None:
        self.examples, self.generator = examples, generator
        self.group: Callable[[], int] | None = None
        self._shuffled, self._repeat = sampling == "shuffled", repeat
        self._rank, self._world_size = rank, world_size
        self._limit, self._update = limit, update
        self._pass_start = generator.get_state()
        self.goes_on = False  # whether an iteration goes on in a pass, as those of a resumed fit do
        self.resize(batch_size)

    def resize(self, batch_size: int) -> None:
        """Another batch size, and the beginning of a pass."""
        n = self._world_size
        if batch_size % n:
            remedy = f"make it a multiple of {n}"
            raise ValueError(f"{n} processes share batch_size {batch_size}; {remedy}")
        if self._shuffled and batch_size > len(self.examples):  # each is in it only once
            wanted, batch_size = batch_size, len(self.examples) // n * n
            log.info(f"of --data.batch_size {wanted} a shuffled minibatch has only {batch_size}")
        self.batch_size, share = batch_size, batch_size // n
        self._rows = slice(self._rank * share, (self._rank + 1) * share)
        fit, limit, n = len(self), self._limit, self._update
        length = int(fit * limit) if isinstance(limit, float) else min(fit, limit)
        if length and (length < n or (length < fit and length % n)):
            raise ValueError(
                f"{length} minibatches of a pass are no multiple of "
                f"--trainer.accumulate_grad_batches {n}; choose another limit or --data.batch_size"
            )
        self._length = length - length % n
        self._position = self._length  # minibatches of the current pass that were given out

    def __len__(self) -> int:
        """Minibatches that fit; the Trainer's limits count from here."""
        n = max(1, len(self.examples) // self.batch_size)
        return n - n % min(n, self._update)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        if not self.goes_on or self._position == self._length:
            if self._repeat:
                self.generator.set_state(self._pass_start)
            self._pass_start, self._position = self.generator.get_state(), 0
        permutation = None
        if self._shuffled:
            self.generator.set_state(self._pass_start)
            permutation = torch.randperm(len(self.examples), generator=self.generator)
        while self._position < self._length:
            index = self._next(permutation)[:, self._rows]  # (G, B)
            index = index[0] if len(index) == 1 else index  # an ordinary minibatch
            x, y = self.examples[index.flatten()]
            yield x.unflatten(0, index.shape), y.unflatten(0, index.shape)

    def _next(self, permutation: Tensor | None) -> Tensor:
        """The indices of the next G minibatches, (G, B) int64."""
        n = 1
        if self.group is not None:
            most = max(1, LARGEST_GROUP // self.batch_size)
            n = min(self.group(), self._length - self._position, most)
        size, start = n * self.batch_size, self._position * self.batch_size
        if permutation is not None:
            index = permutation[start : start + size]
        else:  # one call draws what n calls would draw
            index = torch.randint(0, len(self.examples), (size,), generator=self.generator)
        self._position += n
        return index.view(n, self.batch_size)

    def state_dict(self) -> dict[str, Any]:
        place = {"position": self._position, "length": self._length}
        return {"generator": self.generator.get_state(), "pass_start": self._pass_start, **place}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.generator.set_state(state["generator"].cpu())
        ended = state["position"] == state["length"]  # the length may be another now
        self._position = self._length if ended else state["position"]
        self._pass_start, self.goes_on = state["pass_start"].cpu(), True


class EvaluationLoader:
    """The distinct examples of a split, each once, as batches of type EvaluationBatch.

    Many examples share a window, which the network sees once a batch. `examples` is what
    windows.distinct returns; batch_size counts those of a global batch, which processes share.
    """

    def __init__(
        self,
        examples: tuple[Tensor, Tensor, Tensor],
        device: torch.device | str = "cpu",
        batch_size: int = 2**15,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        (self._x, self._y, self._weights), self._device = examples, device
        chunks = torch.arange(len(self._y)).split(batch_size)
        self._chunks = [chunk.tensor_split(world_size)[rank] for chunk in chunks]

    def __len__(self) -> int:
        return len(self._chunks)

    def __iter__(self) -> Iterator[EvaluationBatch]:
        for index in self._chunks:
            x = self._x[index]
            new = torch.ones(len(x), dtype=torch.bool)
            new[1:] = (x[1:] != x[:-1]).any(1)  # equal windows are neighbours
            batch = x[new], new.cumsum(0) - 1, self._y[index], self._weights[index]
            yield tuple(part.to(self._device) for part in batch)  # type: ignore[misc]


class WordLoader:
    """Words in their order, in chunks of CHUNK; a process gets its share of every chunk."""

    def __init__(self, words: list[str], rank: int = 0, world_size: int = 1) -> None:
        chunks = (words[i : i + CHUNK] for i in range(0, len(words), CHUNK))
        begin, end = rank / world_size, (rank + 1) / world_size
        self._chunks = [chunk[int(len(chunk) * begin) : int(len(chunk) * end)] for chunk in chunks]

    def __len__(self) -> int:
        return len(self._chunks)

    def __iter__(self) -> Iterator[list[str]]:
        return iter(self._chunks)

"""What the Trainer iterates over: minibatches to train on, examples to evaluate, words to score.

Shapes: N examples, G minibatches of a group, B batch, T block_size.
"""

import logging
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from lit_makemore.counts.targets import Expected, Given
from lit_makemore.training.minibatch_order import MinibatchOrder, Sampling
from lit_makemore.words.windows import EvaluationBatch, Windows

log = logging.getLogger(__name__)
LARGEST_GROUP = 2**17  # examples of a group; with their targets some megabytes


class MinibatchLoader:
    """Training minibatches without an end, one pass at a time.

    Each of world_size processes draws the same global minibatch of batch_size examples, and takes
    its share of the rows. So their number does not change which examples are seen.

    Args:
        examples: with their targets.
        batch_size: B, rows of the global minibatch.
        generator, sampling, repeat, pass_length: see MinibatchOrder.
        rank, world_size: the number of this process, and how many there are.

    Attribute group, if set, says how many minibatches come next. They are stacked as (G, B, …).
    There are fewer at the end of a pass, or where they would take too much memory.

    Raises:
        ValueError: a batch size that is no multiple of world_size.
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
        pass_length: int | None = None,
    ) -> None:
        if batch_size % world_size:
            raise ValueError(
                f"{world_size} processes share batch_size {batch_size}; "
                f"make it a multiple of {world_size}"
            )
        if sampling == "shuffled" and batch_size > len(examples):  # each is in it only once
            most = len(examples) // world_size * world_size
            log.info(
                f"--data.batch_size {batch_size} exceeds the {len(examples)} training examples: a "
                f"shuffled minibatch has {most}"
            )
            batch_size = most
        self.examples, self.batch_size = examples, batch_size
        self.order = MinibatchOrder(
            len(examples), batch_size, generator, sampling, repeat, pass_length
        )
        self.group: Callable[[], int] | None = None
        share = batch_size // world_size
        self._rows = slice(rank * share, (rank + 1) * share)

    def __len__(self) -> int:
        """Minibatches that fit into the examples; the Trainer's limits count from here."""
        return max(1, len(self.examples) // self.batch_size)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        self.order.start_pass()
        while self.order.left:
            index = self.order.next(self._group_size())[:, self._rows]  # (G, B)
            x, y = self.examples[index.flatten()]
            if len(index) == 1:  # an ordinary minibatch
                yield x, y
            else:
                yield x.unflatten(0, index.shape), y.unflatten(0, index.shape)

    def _group_size(self) -> int:
        if self.group is None:
            return 1
        most = max(1, LARGEST_GROUP // self.batch_size)
        return min(self.group(), self.order.left, most)

    def state_dict(self) -> dict[str, Any]:
        return self.order.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.order.load_state_dict(state)


class EvaluationLoader:
    """The distinct examples of a split, each once, as batches of type EvaluationBatch.

    Many examples share a window. The network sees each window of a batch only once.

    Args:
        examples: what windows.distinct returns; the weights (D, 2) say how often each example
            occurs, and how often in novel words.
        device: where the batches are needed.
        batch_size: examples of a global batch, of which each process takes its share.
        rank, world_size: as above.
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

    def __iter__(self) -> Iterator[EvaluationBatch]:
        for index in self._chunks:
            x = self._x[index]
            new = torch.ones(len(x), dtype=torch.bool)
            new[1:] = (x[1:] != x[:-1]).any(1)  # equal windows are neighbours
            batch = x[new], new.cumsum(0) - 1, self._y[index], self._weights[index]
            yield tuple(part.to(self._device) for part in batch)  # type: ignore[misc]


class WordLoader:
    """Words in their order, in chunks of batch_size; a process gets its share of every chunk."""

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

"""What the Trainer iterates over: minibatches to train on, examples to evaluate, words to score.

Shapes: N examples, B batch, T block_size.
"""

from collections.abc import Iterator
from typing import Any, Literal

import torch
from torch import Tensor

from lit_makemore.windows import Windows

Sampling = Literal["replacement", "shuffled"]


class MinibatchLoader:
    """Training minibatches for ever, one pass at a time, exactly where a checkpoint left off.

    Every process draws the same global minibatch and takes its slice of the rows, so that the
    number of processes does not change what is seen.

    Args:
        windows: the examples.
        batch_size: B, rows of the global minibatch.
        generator: draws the order; owned by this loader, on the CPU.
        sampling: "replacement" draws B examples anew each time; "shuffled" passes through all of
            them in a new order each time, leaving out the last len(windows) % B.
        rank: number of this process.
        world_size: how many there are.
        repeat: whether every pass has the minibatches of the first one.

    Raises:
        ValueError: a batch size that is no multiple of world_size or exceeds the examples.
    """

    def __init__(
        self,
        windows: Windows,
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
        if batch_size > len(windows):
            raise ValueError(
                f"batch_size {batch_size} exceeds the {len(windows)} training examples; "
                "make it smaller"
            )
        if sampling not in ("replacement", "shuffled"):
            raise ValueError(f"sampling is replacement or shuffled, not {sampling!r}")
        self.windows, self.batch_size, self.generator = windows, batch_size, generator
        self.sampling, self.repeat = sampling, repeat
        share = batch_size // world_size
        self._rows = slice(rank * share, (rank + 1) * share)
        self._position = 0  # minibatches of the current pass already given out
        self._pass_start = generator.get_state()
        self._resuming = False

    def __len__(self) -> int:
        return len(self.windows) // self.batch_size

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        if not self._resuming:
            if self.repeat:
                self.generator.set_state(self._pass_start)
            self._pass_start, self._position = self.generator.get_state(), 0
        self._resuming = False
        shuffled = self.sampling == "shuffled"
        if shuffled:
            self.generator.set_state(self._pass_start)
            order = torch.randperm(len(self.windows), generator=self.generator)
        while self._position < len(self):
            if shuffled:
                index = order[self._position * self.batch_size :][: self.batch_size]
            else:
                index = torch.randint(
                    0, len(self.windows), (self.batch_size,), generator=self.generator
                )
            self._position += 1
            yield self.windows[index[self._rows]]

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
    """All examples in order, once, in chunks of (windows, next tokens, whether the word is novel).

    Args:
        windows: the examples.
        novel: (N,) bool, whether the word an example comes from is not among the training words.
        batch_size: rows of a global chunk.
        rank: number of this process, which takes its share of every chunk.
        world_size: how many there are.
    """

    def __init__(
        self,
        windows: Windows,
        novel: Tensor,
        batch_size: int = 8192,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        self.windows, self.novel = windows, novel
        self._chunks = [
            chunk.tensor_split(world_size)[rank]
            for chunk in torch.arange(len(windows)).split(batch_size)
        ]

    def __len__(self) -> int:
        return len(self._chunks)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        for index in self._chunks:
            x, y = self.windows[index]
            yield x, y, self.novel[index].to(x.device)


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

"""Which examples come next: the order of the minibatches, and its place in it."""

from typing import Any, Literal

import torch
from torch import Tensor

Sampling = Literal["replacement", "shuffled"]


class MinibatchOrder:
    """The indices of minibatches of batch_size examples, pass after pass.

    A restored order continues with the minibatch after the checkpoint.

    Args:
        n_examples, batch_size: N and B.
        generator: draws the order; owned by this object, on the CPU.
        sampling: "replacement" draws B examples for each minibatch; "shuffled" goes through all
            examples in a new order in each pass and leaves out the last N % B.
        repeat: whether every pass has the minibatches of the first one.
        pass_length: minibatches of a pass, if there are fewer than fit into the examples.
    """

    def __init__(
        self,
        n_examples: int,
        batch_size: int,
        generator: torch.Generator,
        sampling: Sampling = "replacement",
        repeat: bool = False,
        pass_length: int | None = None,
    ) -> None:
        self.n_examples, self.batch_size, self.generator = n_examples, batch_size, generator
        self.shuffled, self.repeat = sampling == "shuffled", repeat
        self._length = pass_length or max(1, n_examples // batch_size)
        self._position = self._length  # minibatches of the current pass that were given out
        self._pass_start = generator.get_state()
        self._permutation = torch.empty(0, dtype=torch.int64)

    @property
    def left(self) -> int:
        """Minibatches that are left in the current pass."""
        return self._length - self._position

    def start_pass(self) -> None:
        """Starts the next pass, or continues a restored one that is not finished."""
        if self.left == 0:
            if self.repeat:
                self.generator.set_state(self._pass_start)
            self._pass_start, self._position = self.generator.get_state(), 0
        if self.shuffled:
            self.generator.set_state(self._pass_start)
            self._permutation = torch.randperm(self.n_examples, generator=self.generator)

    def next(self, n: int) -> Tensor:
        """The indices of the next n minibatches of this pass, (n, B) int64."""
        if self.shuffled:
            start = self._position * self.batch_size
            index = self._permutation[start : start + n * self.batch_size]
        else:  # one call draws what n calls would draw
            size = (n * self.batch_size,)
            index = torch.randint(0, self.n_examples, size, generator=self.generator)
        self._position += n
        return index.view(n, self.batch_size)

    def state_dict(self) -> dict[str, Any]:
        return {
            "generator": self.generator.get_state(),
            "pass_start": self._pass_start,
            "position": self._position,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.generator.set_state(state["generator"].cpu())
        self._pass_start, self._position = state["pass_start"].cpu(), state["position"]

"""The reference: what the Trainer's automatic optimization does, for a group of minibatches.

Between two updates of a group the Trainer does nothing, which is a third of a small network's time.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

import torch
from torch import Tensor


class EagerStep:
    """Updates a network minibatch by minibatch, with the bits of automatic optimization.

    Args:
        loss: windows and targets of a minibatch to its mean loss.
        backward: computes the gradients of all parameters from the loss.
        clip: limits the gradients.
        optimizer: with all parameters in one group.
        forward_context: what the forward pass runs in, autocast for one.
    """

    def __init__(
        self,
        loss: Callable[[tuple[Tensor, Tensor]], Tensor],
        backward: Callable[[Tensor], None],
        clip: Callable[[], None],
        optimizer: torch.optim.Optimizer,
        forward_context: Callable[[], AbstractContextManager[None]],
    ) -> None:
        self.loss, self.backward, self.clip = loss, backward, clip
        self.optimizer, self.forward_context = optimizer, forward_context

    def __call__(self, x: Tensor, y: Tensor, lrs: Sequence[float]) -> Tensor:
        """See Step."""
        total = torch.zeros((), dtype=torch.float64)
        # The Trainer's autocast is around this call. Only the forward pass may be in it.
        with torch.autocast(x.device.type, enabled=False):
            for minibatch, lr in zip(zip(x, y, strict=True), lrs, strict=True):
                self.optimizer.zero_grad()
                with self.forward_context():
                    loss = self.loss(minibatch)
                self.backward(loss)
                self.clip()
                self.optimizer.param_groups[0]["lr"] = lr
                self.optimizer.step()
                total += loss.detach()
        return total

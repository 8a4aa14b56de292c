"""What an engine is.

Shapes: G minibatches of a group, B batch, T block_size, V vocab_size.
"""

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor


class Step(Protocol):
    """Updates the parameters of a network in place, one group of minibatches per call.

    BatchNorm's running averages and the optimizer's state are afterwards what torch.optim and
    automatic optimization would leave, so a checkpoint goes on with either engine.
    """

    def __call__(self, x: Tensor, y: Tensor, lrs: Sequence[float]) -> Tensor:
        """Makes one update for each minibatch.

        Args:
            x: windows (G, B, T).
            y: next characters (G, B), or their distributions (G, B, V).
            lrs: the G learning rates.

        Returns:
            The sum of the G losses, a scalar in float64.
        """
        ...

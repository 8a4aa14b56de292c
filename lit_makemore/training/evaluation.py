"""The exact loss of a network on all examples of a split."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from lit_makemore.network.mlp import cross_entropy

Batch = tuple[Tensor, Tensor, Tensor, Tensor]  # as loaders.EvaluationLoader serves them


@torch.no_grad()
def losses(net: nn.Module, batches: Iterable[Batch]) -> tuple[float, float]:
    """Mean cross-entropy in nats of all examples, and of those of novel words (NaN without any).

    Args:
        net: windows (B, T) to logits (B, V); evaluated in evaluation mode and left as it was.
        batches: (windows, inverse, next tokens, weights), as loaders.EvaluationLoader serves them.
    """
    training = net.training
    net.eval()
    total, count = torch.zeros((2, 2), dtype=torch.float64)
    for x, inverse, y, weights in batches:
        loss = cross_entropy(net(x)[inverse], y, reduction="none").cpu().double()  # (B,)
        weights = weights.cpu().double()  # (B, 2)
        total += loss @ weights
        count += weights.sum(0)
    net.train(training)
    everything, novel_only = (total / count).tolist()
    return everything, novel_only

"""The exact loss of a network on all examples of a split."""

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@torch.no_grad()
def losses(net: nn.Module, batches: Iterable[tuple[Tensor, Tensor, Tensor]]) -> tuple[float, float]:
    """Mean cross-entropy in nats of all examples, and of those of novel words (NaN without any).

    Args:
        net: windows (B, T) to logits (B, V); evaluated in evaluation mode and left as it was.
        batches: (windows, next tokens, novel), as loaders.EvaluationLoader serves them.
    """
    training = net.training
    net.eval()
    total, count = torch.zeros((2, 2), dtype=torch.float64)
    for x, y, novel in batches:
        loss = F.cross_entropy(net(x), y, reduction="none").cpu().double()
        weights = torch.stack([torch.ones(len(loss)), novel.cpu()]).double()  # (2, B)
        total += weights @ loss
        count += weights.sum(1)
    net.train(training)
    everything, novel_only = (total / count).tolist()
    return everything, novel_only

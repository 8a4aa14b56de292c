"""A network and the counts together: a · network + (1 − a) · Kneser–Ney.

The network generalises, the counts remember; their mistakes differ, so their mean is better than
either (linear interpolation: Jelinek & Mercer, 1980).

Shapes: N distinct n-grams, B batch, T block_size, V vocab_size.
"""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from lit_makemore.counts.ngrams import Baseline, KneserNey
from lit_makemore.training.evaluation import Batch

WEIGHTS = torch.arange(1, 21, dtype=torch.float64) / 20  # of the network, to choose from


class Mixture(nn.Module):
    """Windows (B, T) to the log-probabilities (B, V) of the mixture, which serve as logits.

    Args:
        net: windows (B, T) to logits (B, V).
        counts: the count model.
        weight: a, the network's share.
    """

    def __init__(self, net: nn.Module, counts: Baseline, weight: float) -> None:
        super().__init__()
        self.net, self.counts, self.weight = net, counts, weight
        self.train(net.training)

    def forward(self, x: Tensor) -> Tensor:
        p = _softmax(self.net(x))
        q = self.counts.probabilities(x.cpu()).to(p)
        return (self.weight * p + (1 - self.weight) * q).log()


@torch.no_grad()
def choose(net: nn.Module, counts: Baseline, batches: Iterable[Batch]) -> float:
    """The weight of the network with which the mixture's loss on these examples is lowest.

    Args:
        net: in evaluation mode.
        counts: the count model.
        batches: the examples, as loaders.EvaluationLoader serves them.
    """
    losses = torch.zeros_like(WEIGHTS)
    for x, inverse, y, weights in batches:
        at = inverse.cpu(), y.cpu()
        p, q = _softmax(net(x)).cpu()[at].double(), counts.probabilities(x.cpu())[at]  # (B,)
        mixed = WEIGHTS[:, None] * p + (1 - WEIGHTS[:, None]) * q
        losses -= mixed.log() @ weights[:, 0].cpu().double()
    return float(WEIGHTS[losses.argmin()])


def kneser_ney(rows: Tensor, counts: Tensor, vocab_size: int) -> KneserNey:
    """The count model of distinct n-grams.

    Args:
        rows: (N, T + 1) windows with their next tokens, any integer type.
        counts: (N,) how often each occurs.
        vocab_size: V.
    """
    rows = rows.long()
    return KneserNey(rows[:, :-1], rows[:, -1], counts.long(), vocab_size)


def _softmax(logits: Tensor) -> Tensor:
    return logits.to(torch.promote_types(logits.dtype, torch.float32)).softmax(1)

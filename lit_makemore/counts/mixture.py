"""A mixture of a network and a count model: a · network + (1 − a) · Kneser–Ney.

The network generalises and the count model remembers. They make different mistakes, so the mixture
is better than each of them (linear interpolation: Jelinek & Mercer, 1980).

Shapes: B batch, D distinct windows, T block_size, V vocab_size.
"""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from lit_makemore.counts.known_words import KnownWords
from lit_makemore.counts.ngrams import Baseline
from lit_makemore.network.mlp import probabilities
from lit_makemore.words.windows import EvaluationBatch

WEIGHTS = torch.arange(21, dtype=torch.float64) / 20  # the weights that choose_weight tries


class Mixture(nn.Module):
    """Windows (B, T) to the log-probabilities (B, V) of the mixture. They are its logits.

    Args:
        net: windows (B, T) to logits (B, V).
        counts: the count model.
        weight: a, the network's weight.
        known: the factors of training words; None, or before they are fitted: the mixture alone.
    """

    def __init__(
        self, net: nn.Module, counts: Baseline, weight: float, known: KnownWords | None = None
    ) -> None:
        super().__init__()
        self.net, self.counts, self.weight = net, counts, weight
        self.known = known if known is not None and known.q is not None else None
        self.train(net.training)

    def forward(self, x: Tensor) -> Tensor:
        p = probabilities(self.net(x))
        q = self.counts.probabilities(x.cpu())
        q = q.to(p.dtype).to(p.device)  # in this order: not every device has float64
        mixed = (self.weight * p + (1 - self.weight) * q).log()
        if self.known is None:
            return mixed
        mixed = mixed + self.known.log_factors(x.cpu()).to(p.dtype).to(p.device)
        return mixed.log_softmax(1)  # the factors may be of the weights at the last validation


@torch.no_grad()
def choose_weight(net: nn.Module, counts: Baseline, batches: Iterable[EvaluationBatch]) -> float:
    """The network's weight, of WEIGHTS, for which the mixture has the lowest loss.

    It is NaN if no weight has a finite loss, as of a network that is NaN.

    Args:
        net: the network, in evaluation mode.
        counts: the count model.
        batches: all examples to compute the loss on.
    """
    losses = torch.zeros_like(WEIGHTS)
    for x, inverse, y, weights in batches:
        at = inverse.cpu(), y.cpu()  # the entry of each example in a (D, V) tensor
        p, q = probabilities(net(x)).cpu()[at].double(), counts.probabilities(x.cpu())[at]  # (B,)
        mixed = WEIGHTS[:, None] * p + (1 - WEIGHTS[:, None]) * q
        losses -= mixed.log() @ weights[:, 0].cpu().double()
    if not losses.isfinite().any():
        return float("nan")
    return float(WEIGHTS[losses.nan_to_num(torch.inf).argmin()])

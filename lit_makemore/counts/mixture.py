"""A mixture of a network and a count model: a · network + (1 − a) · Kneser–Ney.

They make different mistakes, so the mixture is better than each (Jelinek & Mercer, 1980).
Shapes: B batch, T block_size, V vocab_size.
"""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from lit_makemore.counts.ngrams import KneserNey
from lit_makemore.network.mlp import probabilities
from lit_makemore.words.windows import EvaluationBatch

WEIGHTS = torch.arange(21, dtype=torch.float64) / 20  # the weights that are tried


class Mixture(nn.Module):
    """Logits (B, V) of a network and their windows (B, T) to log-probabilities (B, V)."""

    def __init__(self, counts: KneserNey, weight: float = 1.0) -> None:
        super().__init__()
        self.counts, self.weight = counts, weight  # the network's

    def forward(self, logits: Tensor, x: Tensor) -> Tensor:
        p = probabilities(logits)
        q = self.counts.probabilities(x.cpu())
        q = q.to(p.dtype).to(p.device)  # in this order: not every device has float64
        return (self.weight * p + (1 - self.weight) * q).log()

    @torch.no_grad()
    def fit(self, net: nn.Module, batches: Iterable[EvaluationBatch]) -> None:
        """Chooses the one of WEIGHTS with the lowest loss on the batches; NaN if none is finite."""
        losses = torch.zeros_like(WEIGHTS)
        for x, inverse, y, weights in batches:
            inverse, y = inverse.cpu(), y.cpu()
            p = probabilities(net(x)).cpu()[inverse, y].double()  # (B,)
            q = self.counts.probabilities(x.cpu()[inverse], y).squeeze(1)
            mixed = WEIGHTS[:, None] * p + (1 - WEIGHTS[:, None]) * q
            losses -= mixed.log() @ weights[:, 0].cpu().double()
        best = float(WEIGHTS[losses.nan_to_num(torch.inf).argmin()])
        self.weight = best if losses.isfinite().any() else float("nan")

    def figures(self) -> dict[str, float]:
        return {"mixture_weight": self.weight}

    def sentences(self) -> list[str]:
        return [
            f"predictions mix {self.weight:.2f} of the network with {1 - self.weight:.2f} of "
            "Kneser–Ney; the val words chose these weights"
        ]

    def get_extra_state(self) -> Tensor:
        return torch.tensor(self.weight, dtype=torch.float64)

    def set_extra_state(self, state: Tensor) -> None:
        self.weight = float(state)

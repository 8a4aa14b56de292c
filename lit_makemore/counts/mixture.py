"""A mixture of a network and a count model: a · network + (1 − a) · Kneser–Ney.

The network generalises and the count model remembers. They make different mistakes, so the mixture
is better than each of them (linear interpolation: Jelinek & Mercer, 1980).

Shapes: B batch, M examples, T block_size, V vocab_size.
"""

from collections.abc import Iterable, Sequence
from copy import copy

import torch
from torch import Tensor, nn

from lit_makemore.counts import baselines
from lit_makemore.counts.ngrams import KneserNey, Seen
from lit_makemore.network.mlp import probabilities
from lit_makemore.words.windows import EvaluationBatch

DISCOUNTS = (0.1, 0.2, 0.3, 0.4, *baselines.DISCOUNTS)
PRIOR = torch.tensor([0.1, 1.0, 1.0, 1.0], dtype=torch.float64)  # 1 / variance of each weight
ALONE = 40.0  # σ(40) is 1, σ(-40) is 0: the network, or the counts, alone
STEPS, HALVINGS = 12, 8  # of Newton's method, at most
ENOUGH = 0.01  # nats of all examples together: a step that gains less is the last one


class Mixture(nn.Module):
    """Logits (B, V) of a network and their windows (B, T) to log-probabilities (B, V).

    As a rule, the network's weight is less where counting knows more, and where the network is less
    sure. Of the window, h is the longest end that occurs in the training words, c(h) times, before
    n(h) different characters; H is the entropy of the network's distribution p, in nats:

        a = σ(b₀ + b₁ ln c(h) + b₂ ln n(h) + b₃ H(p))

    `weights` is b; `share` is the mean of a over the examples that have chosen b.
    """

    def __init__(self, counts: KneserNey, weights: Sequence[float] = (ALONE, 0, 0, 0)) -> None:
        super().__init__()
        self.counts = copy(counts)  # with a discount of its own
        self.weights, self.share = torch.tensor(weights, dtype=torch.float64), float("nan")

    def forward(self, logits: Tensor, x: Tensor) -> Tensor:
        p, seen = probabilities(logits), self.counts.seen(x.cpu())
        q = self.counts.smoothed(seen, self.counts.discount)
        a = (evidence(seen, entropies(p)) @ self.weights).sigmoid()[:, None]
        q, a = (one.to(p.dtype).to(p.device) for one in (q, a))  # not every device has float64
        return (a * p + (1 - a) * q).log()

    @torch.no_grad()
    def fit(self, net: nn.Module, batches: Iterable[EvaluationBatch]) -> None:
        """Chooses weights and discount for which the mixture has the lowest loss on the batches.

        The network `net` is in evaluation mode.
        """
        columns = []
        for x, inverse, y, times in batches:
            inverse, y = inverse.cpu(), y.cpu()
            seen = self.counts.seen(x.cpu()[inverse], y)
            p = probabilities(net(x)).cpu()
            known, n = evidence(seen, entropies(p)[inverse]), times[:, 0].cpu().double()
            each = [self.counts.smoothed(seen, discount).squeeze(1) for discount in DISCOUNTS]
            columns.append((p[inverse, y].double(), torch.stack(each, 1), known, n))
        p, q, known, n = map(torch.cat, zip(*columns, strict=True))
        found, b = [], torch.zeros(4, dtype=torch.float64)
        ends = [b.new_tensor([sign * ALONE, 0, 0, 0]) for sign in (1, -1)]
        for one, discount in zip(q.T, DISCOUNTS, strict=True):
            b = best_weights(p, one, known, n, b)
            # rounded, so that the order in which a sum is made does not matter
            for weights in (b.round(decimals=2), *ends):
                found.append((loss(p, one, known, n, weights), discount, weights))
        _, self.counts.discount, self.weights = min(found, key=lambda one: one[0])
        self.share = float((known @ self.weights).sigmoid() @ n / n.sum())

    def figures(self) -> dict[str, float]:
        """What was fitted, by name: for curves and reports."""
        return {"mixture_weight": self.share}

    def sentences(self) -> list[str]:
        return [
            f"predictions mix {self.share:.2f} of the network, on average, with Kneser–Ney of "
            f"discount {self.counts.discount:g}; the val words chose these weights"
        ]

    def get_extra_state(self) -> Tensor:
        return torch.cat([self.weights, self.weights.new_tensor([self.share])])

    def set_extra_state(self, state: Tensor) -> None:
        self.weights, self.share = state[:-1].cpu(), float(state[-1])


def entropies(p: Tensor) -> Tensor:
    """H(p) in nats of each distribution (M, V), (M,)."""
    return torch.special.entr(p).sum(1)


def evidence(seen: Sequence[Seen], entropy: Tensor) -> Tensor:
    """What the weight depends on: 1, ln c(h), ln n(h), H(p) of M windows, (M, 4) float64."""
    found = torch.ones((len(entropy), 4), dtype=torch.float64)
    for at, _, kinds, total in seen:
        found[at, 1:3] = torch.cat([total, kinds], 1).log()
    found[:, 3] = entropy
    return found


def loss(p: Tensor, q: Tensor, known: Tensor, n: Tensor, b: Tensor) -> float:
    """The sum of the losses of M examples that occur n times each; p and q (M,) are of their y."""
    return -float((q + (known @ b).sigmoid() * (p - q)).log() @ n)


def best_weights(p: Tensor, q: Tensor, known: Tensor, n: Tensor, b: Tensor) -> Tensor:
    """The weights (4,) of the lowest loss, searched from b on; their PRIOR is normal, around 0.

    Newton's method, with the sum of the gradients' outer products in place of the second
    derivatives (Berndt, Hall, Hall & Hausman, 1974).
    """

    def penalised(b: Tensor) -> float:
        return loss(p, q, known, n, b) + float(PRIOR @ b.square()) / 2

    now = penalised(b)
    for _ in range(STEPS):
        a = (known @ b).sigmoid()
        gradients = known.T * (a * (1 - a) * (p - q) / (q + a * (p - q)))  # (4, M)
        curvature = (gradients * n) @ gradients.T + PRIOR.diag()
        step = torch.linalg.solve(curvature, gradients @ n - PRIOR * b)
        for _ in range(HALVINGS):
            if (then := penalised(b + step)) < now:
                break
            step /= 2
        else:
            break
        b, before, now = b + step, now, then
        if before - now < ENOUGH:
            break
    return b

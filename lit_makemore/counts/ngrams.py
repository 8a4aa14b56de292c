"""What counting achieves: the yardsticks that a network must beat, from the training words alone.

Each baseline gives, for windows (M, T), the distribution of the next character (M, V).

Shapes: N distinct training examples, M windows, T block_size, V vocab_size.
"""

from typing import Protocol

import torch
from torch import Tensor

DISCOUNT = 0.8


class Baseline(Protocol):
    vocab_size: int

    def probabilities(self, x: Tensor) -> Tensor:
        """Windows (M, T) to the distribution of the next character, (M, V) float64."""


def fit(x: Tensor, y: Tensor, n: Tensor, vocab_size: int) -> dict[str, Baseline]:
    """All baselines, by name, from distinct training examples as `windows.distinct` gives them."""
    return {
        "uniform": Uniform(vocab_size),
        "unigram": Unigram(y, n, vocab_size),
        "bigram": Bigram(x, y, n, vocab_size),
        "kneser_ney": KneserNey(x, y, n, vocab_size),
    }


def loss(baseline: Baseline, x: Tensor, y: Tensor, n: Tensor) -> float:
    """Mean cross-entropy in nats over distinct examples that occur n times each; NaN if n is 0."""
    total = 0.0
    for at in torch.arange(len(y)).split(max(1, 2**21 // baseline.vocab_size)):
        p = baseline.probabilities(x[at]).gather(1, y[at, None]).squeeze(1)
        total -= float((p.log() * n[at]).sum())
    return total / int(n.sum()) if n.any() else float("nan")


class Uniform:
    """Every character alike."""

    def __init__(self, vocab_size: int) -> None:
        self.vocab_size = vocab_size

    def probabilities(self, x: Tensor) -> Tensor:
        return torch.full((len(x), self.vocab_size), 1 / self.vocab_size, dtype=torch.float64)


class Unigram:
    """Each character as often as in training, one added to every count.

    Args:
        y: (N,) next tokens of the distinct training examples.
        n: (N,) how often each example occurs.
        vocab_size: V.
    """

    def __init__(self, y: Tensor, n: Tensor, vocab_size: int) -> None:
        counts = y.bincount(n, minlength=vocab_size).double() + 1
        self._p = counts / counts.sum()
        self.vocab_size = vocab_size

    def probabilities(self, x: Tensor) -> Tensor:
        return self._p.expand(len(x), -1)


class Bigram:
    """Each character as often as after the last one in training, one added to every count.

    Args:
        x: (N, T) windows of the distinct training examples.
        y: (N,) their next tokens.
        n: (N,) how often each example occurs.
        vocab_size: V.
    """

    def __init__(self, x: Tensor, y: Tensor, n: Tensor, vocab_size: int) -> None:
        pairs, inverse = (x[:, -1] * vocab_size + y).unique(return_inverse=True)
        self._level = _Level(pairs, inverse.bincount(n), vocab_size)
        self.vocab_size = vocab_size

    def probabilities(self, x: Tensor) -> Tensor:
        counts = self._level.counts(x[:, -1]) + 1
        return counts / counts.sum(1, keepdim=True)


class KneserNey:
    """Interpolated Kneser–Ney smoothing of the whole window's counts.

    A window is backed by the ones that lack its leftmost character, down to the empty one and the
    uniform distribution. Where a window h was seen,

        p(w | h) = (max(c(h w) - D, 0) + D · n(h) · p(w | h without its first character)) / c(h)

    with n(h) the number of distinct characters seen after h and c(h) the sum of c(h w). For whole
    windows c counts occurrences; for shorter ones it counts the distinct characters seen to the
    left of h w, the padding among them. (Kneser & Ney, 1995; Chen & Goodman, 1999,
    https://doi.org/10.1006/csla.1999.0128, equation 23.)

    Args:
        x: (N, T) windows of the distinct training examples.
        y: (N,) their next tokens.
        n: (N,) how often each example occurs.
        vocab_size: V.
        discount: D.
    """

    def __init__(
        self, x: Tensor, y: Tensor, n: Tensor, vocab_size: int, discount: float = DISCOUNT
    ) -> None:
        self.vocab_size, self.discount = vocab_size, discount
        self._levels: list[_Level] = []
        # Windows of each length, as numbers: a window's number is found from the number of the
        # one without its leftmost character, and that character.
        self._contexts: list[Tensor] = []
        number = torch.zeros(len(y), dtype=torch.int64)
        pairs = [number * vocab_size + y]  # number of the window and the next token, as one number
        for t in range(1, x.size(1) + 1):
            known, number = (number * vocab_size + x[:, -t]).unique(return_inverse=True)
            self._contexts.append(known)
            pairs.append(number * vocab_size + y)
        for length, pair in enumerate(pairs):
            seen, row = pair.unique(return_inverse=True)
            if length < len(pairs) - 1:  # each distinct longer pair is one distinct left neighbour
                longer, inverse = pairs[length + 1].unique(return_inverse=True)
                shorter = torch.empty_like(longer).index_copy_(0, inverse, row)
                counts = shorter.bincount(minlength=len(seen))
            else:
                counts = row.bincount(n, minlength=len(seen))
            self._levels.append(_Level(seen, counts, vocab_size))

    def probabilities(self, x: Tensor) -> Tensor:
        p = torch.full((len(x), self.vocab_size), 1 / self.vocab_size, dtype=torch.float64)
        number = torch.zeros(len(x), dtype=torch.int64)
        at = torch.arange(len(x))  # windows of which the current length was seen
        for length, level in enumerate(self._levels):
            if length > 0:
                known = self._contexts[length - 1]
                wanted = number * self.vocab_size + x[at, -length]
                number = torch.searchsorted(known, wanted).clamp(max=len(known) - 1)
                found = known[number] == wanted
                at, number = at[found], number[found]
            counts = level.counts(number)  # (seen windows, V)
            kinds = (counts > 0).double().sum(1, keepdim=True)
            discounted = (counts - self.discount).clamp(min=0)
            p[at] = (discounted + self.discount * kinds * p[at]) / counts.sum(1, keepdim=True)
        return p


class _Level:
    """The counts of all windows of one length, stored for the pairs that occur.

    Args:
        pairs: (P,) the distinct pairs window number · V + token, sorted.
        counts: (P,) how often each counts.
        vocab_size: V.
    """

    def __init__(self, pairs: Tensor, counts: Tensor, vocab_size: int) -> None:
        self._pairs, self._counts, self._tokens = pairs, counts, torch.arange(vocab_size)

    def counts(self, number: Tensor) -> Tensor:
        """The counts after the windows with these numbers (M,), as (M, V) float64."""
        wanted = number[:, None] * len(self._tokens) + self._tokens
        found = torch.searchsorted(self._pairs, wanted).clamp(max=len(self._pairs) - 1)
        return torch.where(self._pairs[found] == wanted, self._counts[found], 0).double()

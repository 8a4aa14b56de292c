"""Models that count n-grams of the training words.

Shapes: D distinct training examples, M windows, T block_size, V vocab_size.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from lit_makemore.words.windows import ranges

DISCOUNT = 0.8


class Seen(NamedTuple):
    """Of the windows h of one length that occur: which of M they are, c(h w), n(h) and c(h)."""

    at: Tensor  # (S,)
    counts: Tensor  # (S, V), or (S, 1) of one w for each
    kinds: Tensor  # (S, 1)
    total: Tensor  # (S, 1)


class AddOne:
    """The frequency of each character after the last `order` ones, 0 or 1; 1 is added to a count.

    Arguments: distinct windows x (D, T), next tokens y (D,), and how often each occurs, n (D,).
    """

    def __init__(self, order: int, x: Tensor, y: Tensor, n: Tensor, vocab_size: int) -> None:
        self._order, self.vocab_size = order, vocab_size
        pairs, inverse = (order * x[:, -1] * vocab_size + y).unique(return_inverse=True)
        self._level = _Level(pairs, inverse.bincount(n), vocab_size)

    def probabilities(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Windows (M, T) to the distributions of the next character, (M, V) float64.

        With next tokens y (M,), only to their probabilities, (M, 1), in a V-th of the time.
        """
        window = self._order * x[:, -1]
        counts = self._level.counts(window, y) + 1
        return counts / (self._level.totals[window, None] + self.vocab_size)


class KneserNey(nn.Module):
    """Interpolated Kneser–Ney smoothing. Of longer windows it reads the last T characters.

    The distribution after a window h is mixed with the one after h without its first character, and
    so on, down to the empty window and the uniform distribution. If h occurs in the training words,

        p(w | h) = (max(c(h w) - d, 0) + d · n(h) · p(w | h without its first character)) / c(h)

    where n(h) is the number of distinct characters that follow h, and c(h) is the sum of c(h w)
    over w. For whole windows c(h w) counts occurrences. For shorter ones it counts the distinct
    characters that precede h w; the padding is one of them. If h does not occur, p(w | h) is the
    shorter window's. (Kneser & Ney, 1995; Chen & Goodman, 1999,
    https://doi.org/10.1006/csla.1999.0128, equation 23.)

    Arguments as AddOne has them, and the discount d. The state_dict holds the examples, `rows`
    (D, T + 1) of windows and next tokens, and `counts` (D,); looked up on the CPU, in float64.
    """

    def __init__(
        self, x: Tensor, y: Tensor, n: Tensor, vocab_size: int, discount: float = DISCOUNT
    ) -> None:
        super().__init__()
        self.vocab_size = vocab_size
        self._count(x, y, n, discount)

    def _count(self, x: Tensor, y: Tensor, n: Tensor, discount: float) -> None:
        self.discount, vocab_size = discount, self.vocab_size
        small = torch.uint8 if vocab_size <= 256 else torch.int16
        self.rows, self.counts = torch.cat([x, y[:, None]], 1).to(small), n.int()
        self._levels: list[_Level] = []
        self._occurrences: list[Tensor] = []  # c(h w) of the whole windows of each length
        # The number of a distinct window is the position of (number of the window without its first
        # character) · V + first character among all such values of its length, sorted.
        self._contexts: list[Tensor] = []
        number = torch.zeros(len(y), dtype=torch.int64)
        pairs = [number * vocab_size + y]  # a window's number and the next token in one number
        for t in range(1, x.size(1) + 1):
            known, number = (number * vocab_size + x[:, -t]).unique(return_inverse=True)
            self._contexts.append(known)
            pairs.append(number * vocab_size + y)
        for length, pair in enumerate(pairs):
            seen, row = pair.unique(return_inverse=True)
            self._occurrences.append(counts := row.bincount(n, minlength=len(seen)).int())
            if length < len(pairs) - 1:  # counts distinct longer pairs: one per preceding character
                longer, inverse = pairs[length + 1].unique(return_inverse=True)
                shorter = torch.empty_like(longer).index_copy_(0, inverse, row)
                counts = shorter.bincount(minlength=len(seen))
            self._levels.append(_Level(seen, counts, vocab_size))

    def get_extra_state(self) -> dict[str, Any]:
        return {"rows": self.rows, "counts": self.counts, "discount": self.discount}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        rows = state["rows"].long()
        self._count(rows[:, :-1], rows[:, -1], state["counts"].long(), state["discount"])

    @property
    def order(self) -> int:
        """T: how many characters it looks back."""
        return len(self._contexts)

    def probabilities(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        return self.smoothed(self.seen(x, y), self.discount)

    def smoothed(self, seen: Sequence[Seen], discount: float) -> Tensor:
        """The probabilities of windows that were looked up by `seen`, with this discount."""
        p = torch.full_like(seen[0].counts, 1 / self.vocab_size)
        for at, counts, kinds, total in seen:
            p[at] = ((counts - discount).clamp(min=0) + discount * kinds * p[at]) / total
        return p

    def seen(self, x: Tensor, y: Tensor | None = None, order: int | None = None) -> list[Seen]:
        """Looks up windows (M, T), or their next tokens y (M,) alone: once for all discounts.

        With an order, it is as if only so many characters had been counted.
        """
        order = self.order if order is None else order
        levels, found = self._levels[: order + 1], list[Seen]()
        if order < self.order:  # its longest windows are whole ones
            levels[-1] = _Level(levels[-1].pairs, self._occurrences[order], self.vocab_size)
        number = torch.zeros(len(x), dtype=torch.int64)
        at = torch.arange(len(x))  # the windows whose last `length` characters were seen
        for length, level in enumerate(levels):
            if length > 0:
                known = self._contexts[length - 1]
                wanted = number * self.vocab_size + x[at, -length]
                number = torch.searchsorted(known, wanted).clamp(max=len(known) - 1)
                is_seen = known[number] == wanted
                at, number = at[is_seen], number[is_seen]
            counts = level.counts(number, None if y is None else y[at])
            found.append(Seen(at, counts, level.kinds[number, None], level.totals[number, None]))
        return found


Baseline = AddOne | KneserNey  # predicts the next character by counting


class _Level:
    """The counts c(h w) of all windows h of one length; only pairs h w that occur are stored.

    `pairs` (P,) are sorted numbers (window number) · V + token. `totals` and `kinds` say of each
    window how often any token follows, and how many do; float64.
    """

    def __init__(self, pairs: Tensor, counts: Tensor, vocab_size: int) -> None:
        self.pairs, self._counts, self._vocab_size = pairs, counts, vocab_size
        window = pairs // vocab_size
        self.totals = window.bincount(counts.double(), minlength=vocab_size)  # sums are exact
        kinds = window.bincount(minlength=vocab_size)
        self.kinds, self._start = kinds.double(), kinds.cumsum(0) - kinds  # each one's first pair

    def counts(self, number: Tensor, y: Tensor | None = None) -> Tensor:
        """The counts (M, V) of all tokens after the windows `number` (M,), or (M, 1) of y (M,)."""
        if y is not None:
            wanted = number[:, None] * self._vocab_size + y[:, None]
            found = torch.searchsorted(self.pairs, wanted).clamp(max=len(self.pairs) - 1)
            return torch.where(self.pairs[found] == wanted, self._counts[found], 0).double()
        row, pair = ranges(self._start[number], self.kinds[number].long())
        counts = torch.zeros(len(number), self._vocab_size, dtype=torch.float64)
        counts[row, self.pairs[pair] % self._vocab_size] = self._counts[pair].double()
        return counts

"""The best that counting reaches on a list: the val words choose Kneser–Ney's order and discount.

Shapes: D distinct examples, T block_size, V vocab_size.
"""

from math import isfinite

from torch import Tensor

from lit_makemore.counts.ngrams import DISCOUNT, KneserNey

DISCOUNTS = (0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)
Examples = tuple[Tensor, Tensor, Tensor]
"""Distinct windows (D, T), their next tokens (D,) and how often each occurs (D,)."""


def choose_counts(train: Examples, val: Examples, vocab_size: int) -> KneserNey:
    """Kneser–Ney of the training examples with the lowest loss on the val examples.

    Every order from 1 to T is tried with every discount of DISCOUNTS. Of equals the first is taken;
    without val examples it is the longest order with the usual discount.

    Args:
        train: the examples to count.
        val: the examples that choose.
        vocab_size: V.
    """
    x, y, n = train
    val_x, val_y, val_n = val
    least, best = float("inf"), KneserNey(x, y, n, vocab_size, DISCOUNT)
    for order in range(1, x.size(1) + 1 if len(val_y) else 1):
        model = KneserNey(x[:, -order:], y, n, vocab_size)
        for discount, p in zip(DISCOUNTS, model.with_each(DISCOUNTS, val_x, val_y), strict=True):
            found = -float(p.squeeze(1).log() @ val_n.double())
            if isfinite(found) and found < least:
                least, best = found, model.with_discount(discount)
    return best if best.order == x.size(1) else _without_repeats(best)


def _without_repeats(model: KneserNey) -> KneserNey:
    """The same model. What its examples no longer differ in is counted, and takes no memory."""
    once, inverse = model.rows.unique(dim=0, return_inverse=True)
    counts = inverse.bincount(model.counts.double()).long()  # sums are exact
    once = once.long()
    return KneserNey(once[:, :-1], once[:, -1], counts, model.vocab_size, model.discount)

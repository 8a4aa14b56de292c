"""What counting reaches. Shapes: D distinct examples, T block_size, V vocab_size."""

from collections.abc import Mapping
from math import isfinite

import torch
from torch import Tensor

from lit_makemore.counts.ngrams import DISCOUNT, AddOne, Baseline, KneserNey
from lit_makemore.words.splits import Split
from lit_makemore.words.windows import row_numbers

DISCOUNTS = (0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)
# distinct windows (D, T), their next tokens (D,) and how often each occurs (D,)
Examples = tuple[Tensor, Tensor, Tensor]
# losses in nats of train, val, test, val_novel, test_novel; None if there are no words
Figures = dict[str, float | None]


def simple_models(x: Tensor, y: Tensor, n: Tensor, vocab_size: int) -> dict[str, Baseline]:
    """The baselines of at most two characters, counted on the training Examples x, y, n."""
    once = torch.arange(vocab_size)
    return {
        "uniform": AddOne(0, once[:, None], once, torch.ones_like(once), vocab_size),
        "unigram": AddOne(0, x, y, n, vocab_size),
        "bigram": AddOne(1, x, y, n, vocab_size),
    }


def choose_counts(train: Examples, val: Examples, vocab_size: int) -> KneserNey:
    """Kneser–Ney of the order, from 1 to T, and discount with the lowest loss on the val examples.

    Without them it is the longest order with the usual discount.
    """
    x, y, n = train
    val_x, val_y, val_n = val
    model = KneserNey(x, y, n, vocab_size)
    losses = dict[tuple[int, float], float]()
    for order in range(1, model.order + 1 if len(val_y) else 1):
        each = model.with_each(DISCOUNTS, val_x, val_y, order)
        for discount, p in zip(DISCOUNTS, each, strict=True):
            if isfinite(found := -float(p.squeeze(1).log() @ val_n.double())):
                losses[order, discount] = found
    order, discount = min(losses, key=losses.__getitem__, default=(model.order, DISCOUNT))
    # the same model; what its examples no longer differ in is counted, and takes no memory
    rows = model.rows[:, -order - 1 :].long()
    numbers, inverse = row_numbers(rows, vocab_size).unique(return_inverse=True)
    once = rows.new_empty((len(numbers), order + 1)).index_copy_(0, inverse, rows)
    counts = inverse.bincount(n.double()).long()  # sums are exact
    return KneserNey(once[:, :-1], once[:, -1], counts, vocab_size, discount)


def loss(baseline: Baseline, x: Tensor, y: Tensor, n: Tensor) -> float:
    """Mean cross-entropy in nats over distinct examples that occur n times each; NaN if n is 0."""
    if not n.any():
        return float("nan")
    total = 0.0
    for index in torch.arange(len(y)).split(max(1, 2**21 // baseline.vocab_size)):
        p = baseline.probabilities(x[index], y[index]).squeeze(1)
        total -= float((p.log() * n[index]).sum())
    return total / int(n.sum())


def losses_of(models: Mapping[str, Baseline], splits: Mapping[str, Split]) -> dict[str, Figures]:
    """The losses of each baseline on all examples of each split, and on those of novel words."""
    figures: dict[str, Figures] = {name: {} for name in models}
    for split, part in splits.items():
        x, y, n = part.examples
        for name, model in models.items():
            figures[name][split] = same = loss(model, x, y, n[:, 0])
            repeats = not n[:, 0].equal(n[:, 1])
            figures[name][f"{split}_novel"] = loss(model, x, y, n[:, 1]) if repeats else same
    return {name: without_nan(row) for name, row in figures.items()}


def without_nan(figures: Figures) -> Figures:
    """The losses with None for NaN, which JSON does not have; no train_novel: none is novel."""
    return {k: v if v == v else None for k, v in figures.items() if k != "train_novel"}

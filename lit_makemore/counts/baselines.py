"""The losses that counting reaches: baselines that a network must beat.

Shapes: D distinct examples, T block_size, V vocab_size.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from lit_makemore.counts.ngrams import Baseline, Bigram, Uniform, Unigram
from lit_makemore.words.splits import Split

Figures = dict[str, float | None]
"""Losses in nats by name: train, val, test, val_novel, test_novel; None if there are no words."""


def simple_models(x: Tensor, y: Tensor, n: Tensor, vocab_size: int) -> dict[str, Baseline]:
    """The baselines of at most two characters, counted on the training examples.

    Args:
        x: (D, T) windows of the distinct training examples, as `windows.distinct` returns them.
        y: (D,) their next tokens.
        n: (D,) how often each example occurs.
        vocab_size: V.
    """
    return {
        "uniform": Uniform(vocab_size),
        "unigram": Unigram(y, n, vocab_size),
        "bigram": Bigram(x, y, n, vocab_size),
    }


def loss(baseline: Baseline, x: Tensor, y: Tensor, n: Tensor) -> float:
    """Mean cross-entropy in nats over distinct examples that occur n times each; NaN if n is 0."""
    total = 0.0
    for index in torch.arange(len(y)).split(max(1, 2**21 // baseline.vocab_size)):
        p = baseline.probabilities(x[index], y[index]).squeeze(1)
        total -= float((p.log() * n[index]).sum())
    return total / int(n.sum()) if n.any() else float("nan")


def losses_of(models: Mapping[str, Baseline], splits: Mapping[str, Split]) -> dict[str, Figures]:
    """The losses of each baseline on all examples of each split, and on those of novel words."""
    figures: dict[str, Figures] = {name: {} for name in models}
    for split, part in splits.items():
        x, y, n = part.examples
        for name, model in models.items():
            figures[name][split] = loss(model, x, y, n[:, 0])
            figures[name][f"{split}_novel"] = loss(model, x, y, n[:, 1])
    return {name: without_nan(row) for name, row in figures.items()}


def without_nan(figures: Figures) -> Figures:
    """The losses with None for NaN, which JSON does not have; no train_novel: none is novel."""
    return {k: v if v == v else None for k, v in figures.items() if k != "train_novel"}

import math

import pytest
import torch
from torchmetrics.classification import MulticlassAccuracy

from lit_makemore.training.metrics import SplitMetrics


def test_metrics_are_those_of_every_example_repeated_as_often_as_it_occurs():
    g = torch.Generator().manual_seed(1)
    logits, y = torch.randn(40, 9, generator=g), torch.randint(0, 9, (40,), generator=g)
    counts = torch.randint(1, 5, (40,), generator=g)
    novel = torch.minimum(torch.randint(0, 5, (40,), generator=g), counts)
    metrics = SplitMetrics()
    for part in torch.arange(40).split(15):
        metrics.update(logits[part], y[part], torch.stack([counts, novel], 1)[part])
    found = metrics.compute()

    def mean_loss(repeats):
        each = torch.arange(40).repeat_interleave(repeats)
        return float(torch.nn.functional.cross_entropy(logits[each], y[each]))

    assert found["loss"] == pytest.approx(mean_loss(counts), rel=1e-5)
    assert found["loss_novel"] == pytest.approx(mean_loss(novel), rel=1e-5)
    assert found["perplexity"] == pytest.approx(math.exp(found["loss"]))
    assert found["bits_per_char"] == pytest.approx(found["loss"] / math.log(2))
    each = torch.arange(40).repeat_interleave(counts)
    for k in (1, 5):
        accuracy = MulticlassAccuracy(9, top_k=k, average="micro")
        assert found[f"top{k}"] == pytest.approx(float(accuracy(logits[each], y[each])), rel=1e-6)


def test_a_nan_shows_and_is_no_hit():
    metrics = SplitMetrics()
    metrics.update(torch.full((3, 9), math.nan), torch.zeros(3, dtype=torch.long), torch.ones(3, 2))
    found = metrics.compute()
    assert math.isnan(found["loss"])
    assert (found["top1"], found["top5"]) == (0, 0)

import math

import pytest
import torch
from torchmetrics.classification import MulticlassAccuracy

from lit_makemore.network.mlp import MLP
from lit_makemore.training.loaders import EvaluationLoader
from lit_makemore.training.metrics import SplitMetrics, evaluate
from lit_makemore.words.windows import Windows, distinct
from tests.conftest import WORDS
from tests.words.test_windows import VOCAB, stream


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


def test_losses_are_means_over_examples_in_evaluation_mode_which_is_left_again():
    net, windows = MLP(len(VOCAB)), Windows(stream(WORDS), 3)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    x, y = windows[torch.arange(len(windows))]
    for novel in (torch.arange(len(windows)) % 3 == 0, torch.zeros(len(windows), dtype=bool)):
        weights = torch.stack([torch.ones_like(novel), novel], 1)
        batches = EvaluationLoader(distinct(windows, len(VOCAB), weights), batch_size=50)
        found = evaluate(net, batches)
        assert net.training
        assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())
        each = torch.nn.functional.cross_entropy(net.eval()(x), y, reduction="none")
        expected = each.mean().item(), each[novel].mean().item()  # NaN where no word is novel
        net.train()
        losses = found["loss"], found["loss_novel"]
        assert losses == pytest.approx(expected, rel=1e-6, nan_ok=True)

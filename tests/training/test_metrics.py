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


def examples(novel=None):
    windows = Windows(stream(WORDS), 3)
    x, y = windows[torch.arange(len(windows))]
    novel = torch.arange(len(windows)) % 3 == 0 if novel is None else novel.expand(len(windows))
    weights = torch.stack([torch.ones_like(novel), novel], 1)
    return x, y, novel, EvaluationLoader(distinct(windows, len(VOCAB), weights), batch_size=50)


def losses(net, batches):
    found = evaluate(net, batches)
    return found["loss"], found["loss_novel"]


def test_losses_are_means_over_examples_not_over_batches():
    net = MLP(len(VOCAB)).eval()
    x, y, novel, batches = examples()
    per_example = torch.nn.functional.cross_entropy(net(x), y, reduction="none")
    expected = per_example.mean().item(), per_example[novel].mean().item()
    assert losses(net, batches) == pytest.approx(expected, rel=1e-6)


def test_evaluation_mode_is_used_and_left_as_it_was():
    net = MLP(len(VOCAB))
    before = {k: v.clone() for k, v in net.state_dict().items()}
    losses(net, examples()[3])
    assert net.training
    assert all(torch.equal(before[k], v) for k, v in net.state_dict().items())


def test_without_novel_words_their_loss_is_undefined():
    net = MLP(len(VOCAB)).eval()
    assert math.isnan(losses(net, examples(torch.tensor(False))[3])[1])

import math

import pytest
import torch

from lit_makemore.network.mlp import MLP
from lit_makemore.training.evaluation import losses
from lit_makemore.training.loaders import EvaluationLoader
from lit_makemore.words.windows import Windows, distinct
from tests.conftest import WORDS
from tests.words.test_windows import VOCAB, stream


def examples(novel=None):
    windows = Windows(stream(WORDS), 3)
    x, y = windows[torch.arange(len(windows))]
    novel = torch.arange(len(windows)) % 3 == 0 if novel is None else novel.expand(len(windows))
    weights = torch.stack([torch.ones_like(novel), novel], 1)
    return x, y, novel, EvaluationLoader(distinct(windows, len(VOCAB), weights), batch_size=50)


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

import math

import pytest
import torch

from lit_makemore.evaluation import losses
from lit_makemore.mlp import MLP


def batches(net):
    torch.manual_seed(1)
    x, y, novel = (
        torch.randint(0, 5, (37, 3)),
        torch.randint(0, 5, (37,)),
        torch.arange(37) % 3 == 0,
    )
    per_example = torch.nn.functional.cross_entropy(net(x), y, reduction="none")
    return list(zip(x.split(10), y.split(10), novel.split(10), strict=True)), per_example, novel


def test_losses_are_means_over_examples_not_over_batches():
    net = MLP(5).eval()
    chunks, per_example, novel = batches(net)
    expected = per_example.mean().item(), per_example[novel].mean().item()
    assert losses(net, chunks) == pytest.approx(expected, rel=1e-6)


def test_evaluation_mode_is_used_and_left_as_it_was():
    net = MLP(5)
    before = {k: v.clone() for k, v in net.state_dict().items()}
    chunks, _, _ = batches(MLP(5).eval())
    losses(net, chunks)
    assert net.training
    assert all(torch.equal(before[k], v) for k, v in net.state_dict().items())


def test_without_novel_words_their_loss_is_undefined():
    net = MLP(5).eval()
    chunks, _, _ = batches(net)
    assert math.isnan(losses(net, [(x, y, torch.zeros_like(novel)) for x, y, novel in chunks])[1])

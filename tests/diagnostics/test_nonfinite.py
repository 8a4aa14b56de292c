from math import inf, nan

import pytest
import torch

from lit_makemore.diagnostics.nonfinite import listed, nonfinite_tensors
from lit_makemore.diagnostics.probe import run_probe
from lit_makemore.network.mlp import MLP, cross_entropy


@pytest.mark.parametrize(
    ("poison", "named"),
    [
        (lambda net: net.layers[3].weight.data.fill_(nan), "parameter hidden2/linear/weight"),
        (lambda net: net.layers[1].running_var.fill_(inf), "hidden1/norm/running_var"),
        (lambda net: net.embedding.weight.data[0].fill_(nan), "the loss"),
        (lambda net: net.embedding.weight.data[0].fill_(nan), "gradient of embedding/weight"),
        (lambda net: net.embedding.weight.data[0].fill_(nan), "activation hidden1/tanh"),
    ],
)
def test_tensors_that_are_not_finite_are_named(poison, named):
    torch.manual_seed(1)
    net = MLP(9, n_hidden=6, n_layer=2)
    x, y = torch.zeros(4, 3, dtype=torch.long), torch.zeros(4, dtype=torch.long)
    assert nonfinite_tensors(net, run_probe(net, lambda: cross_entropy(net(x), y))) == []
    poison(net)
    assert named in nonfinite_tensors(net, run_probe(net, lambda: cross_entropy(net(x), y)))


def test_a_long_list_of_names_is_cut_short():
    assert listed(["a", "b"]) == "a, b"
    assert listed(list("abcdef")) == "a, b, c, d and 2 more"

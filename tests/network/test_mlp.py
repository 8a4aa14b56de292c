import pytest
import torch

from lit_makemore.network.layers import BatchNorm1d, Linear
from lit_makemore.network.mlp import MLP, Init

PUBLISHED = [  # networks as arguments, with their numbers of parameters
    (6_197, {"n_layer": 1, "bn_variance": "biased"}),
    (46_997, {"bn_variance": "biased"}),
    (47_551, {"logits_batch_norm": True, "redundant_bias": True, "bn_variance": "biased"}),
    (4_137, {"n_layer": 1, "n_hidden": 64, "redundant_bias": True, "bn_variance": "unbiased"}),
    (47_024, {"logits_batch_norm": True, "bn_variance": "unbiased"}),
]


@pytest.mark.parametrize(("params", "arguments"), PUBLISHED)
def test_the_published_networks_have_the_published_parameter_counts(params, arguments):
    assert sum(p.numel() for p in MLP(27, **arguments).parameters()) == params


def kinds(net: MLP) -> list[str]:
    return [layer.__class__.__name__ for layer in net.layers]


def test_layers_are_the_lectures_flat_list():
    block = ["Linear", "BatchNorm1d", "Tanh"]
    net = MLP(27, n_layer=2, logits_batch_norm=True)
    assert kinds(net) == [*block, *block, "Linear", "BatchNorm1d"]
    assert kinds(MLP(27, n_layer=1, activation="relu"))[2] == "ReLU"
    plain = MLP(27, n_layer=2, norm="none")
    assert kinds(plain) == ["Linear", "Tanh"] * 2 + ["Linear"]
    # dropping BatchNorm keeps the biases that it made redundant
    assert all(layer.bias is not None for layer in plain.layers if isinstance(layer, Linear))


def test_the_forward_pass_is_the_concatenated_embedding_through_the_layers():
    net = MLP(27, block_size=4, n_embd=3).eval()
    x = torch.randint(0, 27, (5, 4))
    expected = torch.cat([net.embedding.weight[x[:, t]] for t in range(4)], 1)
    for layer in net.layers:
        expected = layer(expected)
    torch.testing.assert_close(net(x), expected)
    assert net(x).shape == (5, 27)


def test_initialisation_does_what_each_argument_says():
    init = Init(1.5, 0.2, logits_bias_std=0.5, bn_gain=1.1, bn_bias=0.1, logits_bn_gain=0.3)
    g = torch.Generator().manual_seed(1)
    net = MLP(
        2000, 20, 100, 1000, 2, logits_batch_norm=True, redundant_bias=True, init=init, generator=g
    )
    linears = [layer for layer in net.layers if isinstance(layer, Linear)]
    norms = [layer for layer in net.layers if isinstance(layer, BatchNorm1d)]
    assert net.embedding.weight.std().item() == pytest.approx(1, rel=0.01)
    assert linears[0].weight.std().item() == pytest.approx(1.5 / 2000**0.5, rel=0.01)
    assert linears[1].weight.std().item() == pytest.approx(1.5 / 1000**0.5, rel=0.01)
    assert linears[2].weight.std().item() == pytest.approx(0.2 / 1000**0.5, rel=0.01)
    assert linears[0].bias.abs().max() == 0
    assert linears[2].bias.std().item() == pytest.approx(0.5, rel=0.05)
    assert [n.weight.unique().item() for n in norms] == pytest.approx([1.1, 1.1, 0.3])
    assert [n.bias.unique().item() for n in norms] == pytest.approx([0.1, 0.1, 0.0])


@pytest.mark.parametrize(
    ("argument", "value"),
    [("n_layer", 0), ("n_hidden", -1), ("block_size", 0), ("activation", "gelu")],
)
def test_a_bad_argument_is_named(argument, value):
    with pytest.raises(ValueError, match=argument):
        MLP(27, **{argument: value})


def test_dropout_follows_every_activation_and_rests_in_evaluation():
    net = MLP(27, n_layer=2, dropout=0.5)
    assert kinds(net) == ["Linear", "BatchNorm1d", "Tanh", "Dropout"] * 2 + ["Linear"]
    x = torch.randint(0, 27, (64, 3))
    assert not torch.equal(net(x), net(x))
    net.eval()
    assert torch.equal(net(x), net(x))
    with pytest.raises(ValueError, match=r"share in \[0, 1\)"):
        MLP(27, dropout=1.0)

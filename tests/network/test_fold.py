from copy import deepcopy

import pytest
import torch
from torch import nn

from lit_makemore.network.fold import check_fold, fold
from lit_makemore.network.layers import BatchNorm1d
from lit_makemore.network.mlp import MLP


def trained(dtype: torch.dtype, **arguments) -> MLP:
    """A random network none of whose parameters and statistics is 0 or 1, in evaluation mode."""
    torch.manual_seed(1)
    net = MLP(27, n_hidden=30, **arguments).to(dtype)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.3)
    for _ in range(5):  # moves the running statistics as training does
        net.train()(torch.randint(0, 27, (64, net.layers[0].in_features // 10)))
    return net.eval()


def windows(net: MLP) -> torch.Tensor:
    return torch.randint(0, 27, (200, net.layers[0].in_features // 10))


@pytest.mark.parametrize(("dtype", "apart"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
@pytest.mark.parametrize(
    "arguments",
    [
        {"n_layer": 1, "bn_variance": "biased"},
        {"n_layer": 5, "bn_variance": "unbiased", "logits_batch_norm": True},
        {"n_layer": 2, "redundant_bias": True, "logits_batch_norm": True, "block_size": 5},
        {"n_layer": 2, "norm": "none", "logits_batch_norm": True},
        {"n_layer": 3, "activation": "relu", "dropout": 0.5},
        {"n_layer": 3, "activation": "linear"},
    ],
    ids=str,
)
def test_the_folded_network_gives_the_same_logits(arguments, dtype, apart):
    net = trained(dtype, **arguments)
    x, folded = windows(net), fold(net)
    assert not any(isinstance(layer, nn.BatchNorm1d) for layer in folded.modules())
    with torch.no_grad():
        assert (folded(x) - net(x)).abs().max() <= apart * net(x).abs().max()
    assert all(line.agrees for line in check_fold(net, x))


def test_a_folded_network_is_one_without_batch_norm():
    """One that has none is returned equal."""
    folded = fold(trained(torch.float32, n_layer=2, logits_batch_norm=True))
    plain = MLP(27, n_hidden=30, n_layer=2, norm="none")
    plain.load_state_dict(folded.state_dict())
    x = windows(plain)
    assert torch.equal(plain(x), folded(x))
    again = fold(plain).state_dict()
    assert again.keys() == plain.state_dict().keys()
    assert all(torch.equal(again[name], value) for name, value in plain.state_dict().items())


@pytest.mark.parametrize("part", ["weight", "bias", "running_mean", "running_var"])
def test_the_referee_sees_a_fold_that_takes_one_value_wrong(part, monkeypatch):
    net, right = trained(torch.float64, n_layer=2), fold

    def wrong(net: MLP) -> MLP:
        changed = deepcopy(net)
        norm = next(layer for layer in changed.layers if isinstance(layer, BatchNorm1d))
        getattr(norm, part).data[3] *= 1 + 1e-6
        return right(changed)

    lines = check_fold(net, x := windows(net))
    assert [line.name for line in lines] == ["layers.0", "layers.3", "layers.6"]
    assert lines[-1].shape == (200, 27)
    monkeypatch.setattr("lit_makemore.network.fold.fold", wrong)
    assert not any(line.agrees for line in check_fold(net, x))


def test_batch_norm_without_gain_folds_too():
    net = trained(torch.float64)
    net.layers[1].weight = net.layers[1].bias = None
    x = windows(net)
    torch.testing.assert_close(fold(net)(x), net(x))

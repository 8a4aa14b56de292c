from contextlib import nullcontext

import lightning.pytorch as pl
import pytest
import torch
from torch import nn

from lit_makemore.diagnostics.drawing import saturation
from lit_makemore.diagnostics.probe import (
    forward_of,
    hidden_of,
    is_flat,
    layer_names,
    network_of,
    run_probe,
    tensor_names,
)
from lit_makemore.network.layers import Tanh
from lit_makemore.network.mlp import MLP, cross_entropy


def example(**kwargs):
    torch.manual_seed(3)
    net = MLP(9, n_hidden=6, n_layer=2, **kwargs)
    x, y = torch.randint(0, 9, (16, 3)), torch.randint(0, 9, (16,))
    return net, x, y


def test_it_sees_activations_their_gradients_and_what_batch_norm_normalises_by():
    net, x, y = example()
    probe = run_probe(net, lambda: cross_entropy(net(x), y))
    net.eval().train()
    hidden, outputs = net.embedding(x).flatten(1), {}
    for layer in net.layers:
        hidden = layer(hidden)
        if isinstance(layer, Tanh):
            hidden.retain_grad()
            outputs[f"hidden{len(outputs) + 1}/tanh"] = hidden
    loss = cross_entropy(hidden, y)
    loss.backward()
    assert probe.loss == loss
    assert probe.activations.keys() == outputs.keys() == probe.saturating
    for name, t in outputs.items():
        assert torch.equal(probe.activations[name], t)
        torch.testing.assert_close(probe.gradients[name], t.grad)
    parameters = {tensor_names(net)[n]: p for n, p in net.named_parameters() if p.ndim == 2}
    assert list(probe.weights) == list(parameters)
    for name, g in probe.weight_gradients.items():
        torch.testing.assert_close(g, parameters[name].grad)
    layer, mean = probe.batch_norms["hidden1/norm"]
    torch.testing.assert_close(mean, net.layers[0](net.embedding(x).flatten(1)).mean(0))
    assert layer is net.layers[1]


@pytest.mark.parametrize("fails", [False, True])
def test_it_leaves_no_trace(fails):
    net, x, y = example()
    net.layers.append(nn.Dropout(0.5))  # draws from the global random state
    before = {name: t.clone() for name, t in net.state_dict().items()}
    state = torch.get_rng_state()

    def forward():
        loss = cross_entropy(net(x), y)
        if fails:
            raise ZeroDivisionError
        return loss

    with pytest.raises(ZeroDivisionError) if fails else nullcontext():
        run_probe(net, forward)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(before[name], t) for name, t in net.state_dict().items())
    assert all(p.grad is None for p in net.parameters())
    assert not any(module._forward_hooks for module in net.modules())


def test_batch_norm_over_a_sequence_has_one_mean_for_each_channel():
    net, x = nn.Sequential(nn.Conv1d(2, 3, 1), nn.BatchNorm1d(3), nn.Tanh()), torch.randn(8, 2, 5)
    probe = run_probe(net, lambda: net(x).sum())
    assert probe.weight_gradients.keys() == {"0.weight"}  # through torch's own BatchNorm
    assert torch.equal(net[1].running_mean, torch.zeros(3))
    torch.testing.assert_close(probe.batch_norms["1"][1], net[0](x).mean((0, 2)))
    assert saturation(probe).axes[0].get_images()[0].get_array().shape == (8, 15)


@pytest.mark.parametrize(
    ("layer", "both_ends", "flat"),  # at -9, 0 and 9
    [
        *((layer, True, [True, False, True]) for layer in (Tanh(), nn.Tanh(), nn.Hardtanh())),
        *((layer, True, [True, False, True]) for layer in (nn.Sigmoid(), nn.Hardsigmoid())),
        (nn.Softsign(), True, [True, False, True]),
        (nn.ReLU(), False, [True, True, False]),
        *((layer, False, [True, False, False]) for layer in (nn.ELU(), nn.GELU(), nn.Softplus())),
        (nn.ReLU(inplace=True), False, [True, True, False]),
        *((layer, False, [False] * 3) for layer in (nn.LeakyReLU(), nn.PReLU(), nn.Identity())),
    ],
    ids=repr,
)
def test_where_an_activation_is_flat(layer, both_ends, flat):
    x = torch.tensor([-9.0, 0.0, 9.0])
    found, saturates = is_flat(layer, x)
    assert (found.tolist(), saturates) == (flat, both_ends)


def test_hidden_weights_are_those_of_all_linear_layers_but_the_last():
    net = MLP(9, n_hidden=6, n_layer=2)
    assert hidden_of(net) == ("hidden1/linear/weight", "hidden2/linear/weight")
    foreign = nn.Sequential(nn.Embedding(5, 4), nn.Flatten(), nn.Linear(8, 8), nn.Tanh())
    foreign.extend([nn.Linear(8, 8), nn.Linear(8, 1)])
    foreign[2].weight.requires_grad = False
    assert hidden_of(foreign) == ("4.weight",)
    assert hidden_of(nn.Linear(4, 1)) == ()


def test_without_a_loss_there_are_no_gradients():
    net, x, _ = example()
    probe = run_probe(net, lambda: net(x))
    assert probe.loss is None
    assert probe.gradients == probe.weight_gradients == {}
    assert len(probe.activations) == len(probe.batch_norms) == 2


class TwoParts(pl.LightningModule):
    """Its attribute `net` is not all that learns."""

    def __init__(self) -> None:
        super().__init__()
        self.net, self.head = nn.Linear(4, 3), nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3))

    def loss(self, batch):
        return self.head(self.net(batch)).square().mean()


def test_all_that_learns_is_probed():
    module = TwoParts()
    assert network_of(module) is module
    probe = run_probe(network_of(module), forward_of(module, torch.randn(8, 4)))
    assert probe.weight_gradients.keys() == {"net.weight", "head.0.weight"}
    assert torch.equal(module.head[1].running_mean, torch.zeros(3))
    module.head = nn.Identity()
    assert network_of(module) is module.net


def shown(**arguments) -> list[str]:
    net = MLP(9, n_hidden=6, **arguments)
    return [name for name in layer_names(net).values() if name and name != "layers"]


def test_layers_are_called_by_their_role():
    assert shown(n_layer=2) == [
        "embedding", "hidden1/linear", "hidden1/norm", "hidden1/tanh",
        "hidden2/linear", "hidden2/norm", "hidden2/tanh", "logits",
    ]  # fmt: skip
    for activation in ("relu", "linear", "torch.nn.GELU"):  # as the option is called
        found = shown(n_layer=1, norm="none", activation=activation)
        assert found[2] == f"hidden1/{activation.removeprefix('torch.nn.').lower()}"
    for norm in ("batch", "layer", "torch.nn.RMSNorm"):
        assert shown(n_layer=1, norm=norm)[2] == "hidden1/norm"
    full = {*shown(n_layer=3, logits_batch_norm=True, dropout=0.1)}
    assert full - {*shown(n_layer=3)} == {"logits/norm"} | {f"hidden{i}/dropout" for i in (1, 2, 3)}
    for less in ({"norm": "none"}, {"n_layer": 2}):
        assert {*shown(**{"n_layer": 3, **less})} < full


def test_every_tensor_has_a_name_of_its_own():
    net = MLP(9, n_hidden=6, n_layer=2, redundant_bias=True, logits_batch_norm=True)
    names = tensor_names(net)
    assert names.keys() == net.state_dict().keys()
    assert len({*names.values()}) == len(names)
    assert names["embedding.weight"] == "embedding/weight"
    assert names["layers.0.bias"] == "hidden1/linear/bias"
    assert names["layers.1.running_var"] == "hidden1/norm/running_var"
    assert names["layers.7.weight"] == "logits/norm/weight"


def test_another_network_keeps_its_names():
    net = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.BatchNorm1d(8))
    assert {*layer_names(net).values()} == {"", "0", "1", "2"}
    assert tensor_names(net) == {name: name for name in net.state_dict()}
    ours = MLP(9, n_hidden=6, n_layer=1)
    ours.layers[1] = nn.SyncBatchNorm(6)  # as sync_batchnorm has it
    assert layer_names(ours)["layers.1"] == "hidden1/norm"

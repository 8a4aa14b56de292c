from torch import nn

from lit_makemore.diagnostics.names import layer_names, tensor_names
from lit_makemore.network.mlp import MLP


def shown(**arguments) -> list[str]:
    net = MLP(9, n_hidden=6, **arguments)
    return [name for name in layer_names(net).values() if name and name != "layers"]


def test_layers_are_called_by_their_role():
    assert shown(n_layer=2) == [
        "embedding", "hidden1/linear", "hidden1/norm", "hidden1/tanh",
        "hidden2/linear", "hidden2/norm", "hidden2/tanh", "logits",
    ]  # fmt: skip


def test_networks_share_the_names_of_what_they_share():
    full = {*shown(n_layer=3, logits_batch_norm=True, dropout=0.1)}
    for less in ({"batch_norm": False}, {"n_layer": 2}, {"dropout": 0.0}):
        assert {*shown(**{"n_layer": 3, **less})} < full
    assert full - {*shown(n_layer=3)} == {"logits/norm"} | {f"hidden{i}/dropout" for i in (1, 2, 3)}


def test_an_activation_is_called_as_its_option():
    for activation in ("tanh", "relu", "linear"):
        assert shown(n_layer=1, batch_norm=False, activation=activation)[2] == (
            f"hidden1/{activation}"
        )


def test_every_tensor_has_a_name_of_its_own():
    net = MLP(9, n_hidden=6, n_layer=2, redundant_bias=True, logits_batch_norm=True)
    names = tensor_names(net)
    assert names.keys() == net.state_dict().keys()
    assert len({*names.values()}) == len(names)
    assert names["embedding.weight"] == "embedding/weight"
    assert names["layers.0.bias"] == "hidden1/linear/bias"
    assert names["layers.1.running_var"] == "hidden1/norm/running_var"
    assert names["layers.6.weight"] == "logits/weight"
    assert names["layers.7.weight"] == "logits/norm/weight"


def test_synchronised_batch_norm_keeps_its_name():
    net = MLP(9, n_hidden=6, n_layer=1)
    net.layers[1] = nn.SyncBatchNorm(6)
    assert layer_names(net)["layers.1"] == "hidden1/norm"


def test_another_network_keeps_its_names():
    net = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.BatchNorm1d(8))
    assert {*layer_names(net).values()} == {"", "0", "1", "2"}
    assert tensor_names(net) == {name: name for name in net.state_dict()}

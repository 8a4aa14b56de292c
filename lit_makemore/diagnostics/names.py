"""What layers and their tensors are called in figures, pictures and verdicts."""

from torch import nn

from lit_makemore.network.layers import Linear
from lit_makemore.network.mlp import ACTIVATIONS, MLP

NORMS = (nn.BatchNorm1d, nn.SyncBatchNorm)


def layer_names(net: nn.Module) -> dict[str, str]:
    """Names for the modules of a network, by their names in it.

    Those of an MLP are called by their role, so that networks of any depth share their charts:

        embedding
        hidden1/linear, hidden1/norm, hidden1/tanh (relu, linear), hidden2/linear …
        logits, logits/norm

    Those of another network keep their names.
    """
    names = {name: name for name, _ in net.named_modules()}
    if isinstance(net, MLP):
        layers = list(net.layers)
        depth = sum(isinstance(layer, Linear) for layer in layers)
        block = 0
        for i, layer in enumerate(layers):
            block += isinstance(layer, Linear)
            role = f"hidden{block}" if block < depth else "logits"
            names[f"layers.{i}"] = f"{role}/{_part(layer)}".replace("logits/linear", "logits")
    return names


def tensor_names(net: nn.Module) -> dict[str, str]:
    """Names for parameters and buffers, as hidden1/linear/weight, by their names in state_dict."""
    layers = layer_names(net)
    names = [name for name, _ in (*net.named_parameters(), *net.named_buffers())]
    if not isinstance(net, MLP):
        return {name: name for name in names}
    owners = {name: name.rpartition(".") for name in names}
    return {name: f"{layers[layer]}/{tensor}" for name, (layer, _, tensor) in owners.items()}


def _part(layer: nn.Module) -> str:
    """linear, norm, or the option model.activation."""
    if isinstance(layer, Linear):
        return "linear"
    if isinstance(layer, NORMS):
        return "norm"
    kinds = {kind: name for name, kind in ACTIVATIONS.items()}
    return kinds.get(type(layer), type(layer).__name__.lower())

"""A probe: an extra pass of a network over a minibatch. Shapes: B batch, H units of a layer."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from inspect import ismethod, signature
from typing import Any

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.utilities.model_helpers import is_overridden
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook
from torch.random import fork_rng

from lit_makemore.network.layers import Linear
from lit_makemore.network.mlp import ACTIVATIONS as OPTIONS
from lit_makemore.network.mlp import MLP, buffers_restored

Norm = nn.BatchNorm1d | nn.SyncBatchNorm
OtherNorm = nn.LayerNorm | nn.RMSNorm | nn.GroupNorm | nn.InstanceNorm1d  # without averages
OF_A_VECTOR = ("GLU", "MultiheadAttention", "Softmin", "Softmax", "Softmax2d", "LogSoftmax")
ACTIVATIONS: tuple[type[nn.Module], ...] = tuple(OPTIONS.values()) + tuple(
    getattr(nn, name) for name in nn.modules.activation.__all__ if name not in OF_A_VECTOR
)
SATURATED = 0.97  # a tanh unit with |t| above it hardly learns: its derivative is below 0.06
FAR = 20.0  # where an activation that is flat at an end is flat


@dataclass
class Probe:
    """What an extra pass showed, by the names of layers and parameters."""

    loss: Tensor | None = None  # of the minibatch; without one there are no gradients
    activations: dict[str, Tensor] = field(default_factory=dict)  # output of each layer, (B, H)
    flat: dict[str, Tensor] = field(default_factory=dict)  # where it is_flat, (B, H) bool
    saturating: set[str] = field(default_factory=set)  # activations flat at both ends, as tanh is
    gradients: dict[str, Tensor] = field(default_factory=dict)  # of the activations, (B, H)
    weights: dict[str, Tensor] = field(default_factory=dict)  # trained, of two or more dimensions
    weight_gradients: dict[str, Tensor] = field(default_factory=dict)
    batch_norms: dict[str, tuple[Norm, Tensor]] = field(default_factory=dict)  # mean input, (H,)
    when: str = "in one minibatch"  # as pictures call it


def run_probe(net: nn.Module, forward: Callable[[], Any]) -> Probe:
    """Runs a forward pass, and a backward pass if there is a loss, and records what they show.

    `forward` passes a minibatch through the network; what it returns is the loss if it is a scalar.
    Parameters, their gradients, buffers and the random state are afterwards as they were before.
    """
    shown = layer_names(net)
    names = {module: shown[name] for name, module in net.named_modules()}
    weights = {name: p for name, p in parameters_of(net).items() if p.ndim >= 2}
    probe = Probe(weights={name: w.detach() for name, w in weights.items()})
    outputs: dict[str, Tensor] = {}

    def record(layer: nn.Module, args: Any, output: Tensor) -> None:
        if layer not in names or not isinstance(layer, (*ACTIVATIONS, Norm)):
            return
        name, x = names[layer], args[0].detach()
        if isinstance(layer, Norm):
            x = x.to(torch.promote_types(x.dtype, torch.float32))
            # (B, H, L) of a foreign module to (B L, H)
            probe.batch_norms[name] = layer, x.movedim(1, -1).flatten(0, -2).mean(0)
            return
        outputs[name], probe.activations[name] = output, output.detach()
        probe.flat[name], saturates = is_flat(layer, x)
        if saturates:
            probe.saturating.add(name)

    devices = sorted({p.device.index or 0 for p in net.parameters() if p.is_cuda})
    # The loss comes before buffers are restored: torch's BatchNorm1d reads them in its backward.
    with register_module_forward_hook(record), buffers_restored(net), fork_rng(devices):
        loss = forward()
        if isinstance(loss, Tensor) and loss.ndim == 0 and loss.requires_grad:
            probe.loss, inputs = loss.detach(), outputs | weights
            found = torch.autograd.grad(loss, [*inputs.values()], allow_unused=True)
            for name, g in zip(inputs, found, strict=True):
                if g is not None:
                    of = probe.gradients if name in outputs else probe.weight_gradients
                    of[name] = g
    return probe


def is_flat(layer: nn.Module, x: Tensor) -> tuple[Tensor, bool]:
    """Where an activation is too flat to learn, and whether it is so at both ends, as tanh is."""
    ends = torch.tensor([-FAR, 0.0, FAR], dtype=x.dtype, device=x.device)
    at = torch.cat([ends, x.flatten()]).requires_grad_()
    with torch.enable_grad():
        (slopes,) = torch.autograd.grad(layer.forward(at + 0).sum(), at)  # it may work in place
    low, middle, high = slopes[:3].abs().tolist()
    saturates = max(low, high) < 0.06
    limit = (1 - SATURATED**2) * middle if saturates else 0.001
    return slopes[3:].abs().view_as(x) < limit, saturates


def network_of(module: nn.Module) -> nn.Module:
    """What is probed: module.net if it is all that learns, as in LitMLP, else the whole module."""
    net = getattr(module, "net", None)
    whole = isinstance(net, nn.Module) and {*net.parameters()} == {*module.parameters()}
    return net if whole else module  # type: ignore[return-value]


def forward_of(module: nn.Module, batch: Any) -> Callable[[], Any] | None:
    """Its method loss(batch), or forward of the minibatch's first element; None without any."""
    method = getattr(module, "loss", None)
    with suppress(TypeError):  # it takes something else
        if ismethod(method) and signature(method).bind("batch"):
            return partial(method, batch)
    if not is_overridden("forward", module, LightningModule):
        return None
    return partial(module, batch[0] if isinstance(batch, tuple | list) else batch)


def layer_names(net: nn.Module) -> dict[str, str]:
    """What the modules of a network are called in figures, by their names in it.

    Those of an MLP by their role, so that networks of any depth share their charts: embedding,
    hidden1/linear, hidden1/norm, hidden1/tanh (relu …), hidden2/linear …, logits, logits/norm.
    """
    names = {name: name for name, _ in net.named_modules()}
    if isinstance(net, MLP):
        parts = {kind: option for option, kind in OPTIONS.items()} | {Linear: "linear"}
        depth, block = sum(isinstance(layer, Linear) for layer in net.layers), 0
        for i, layer in enumerate(net.layers):
            block += isinstance(layer, Linear)
            norm = isinstance(layer, Norm | OtherNorm)
            part = "norm" if norm else parts.get(type(layer), type(layer).__name__.lower())
            role = f"hidden{block}" if block < depth else "logits"
            names[f"layers.{i}"] = f"{role}/{part}".replace("logits/linear", "logits")
    return names


def tensor_names(net: nn.Module) -> dict[str, str]:
    """Names for parameters and buffers, as hidden1/linear/weight, by their names in state_dict."""
    layers, found = layer_names(net), [*net.named_parameters(), *net.named_buffers()]
    if not isinstance(net, MLP):
        return {name: name for name, _ in found}
    owners = {name: name.rpartition(".") for name, _ in found}
    return {name: f"{layers[layer]}/{tensor}" for name, (layer, _, tensor) in owners.items()}


def parameters_of(net: nn.Module) -> dict[str, Tensor]:
    names = tensor_names(net)
    return {names[name]: p for name, p in net.named_parameters() if p.requires_grad}


def hidden_of(net: nn.Module) -> tuple[str, ...]:
    """Names of the trained weights of all Linear layers except the last one, the output layer."""
    linear = [module for module in net.modules() if isinstance(module, Linear | nn.Linear)]
    hidden = {module.weight for module in linear[:-1]}
    return tuple(name for name, p in parameters_of(net).items() if p in hidden)

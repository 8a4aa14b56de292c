"""One extra pass of a network over a minibatch, to look inside; it leaves no trace.

Shapes: B batch, H units of a layer.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cache

import torch
from torch import Tensor, nn

from lit_makemore.network.layers import Tanh

SATURATING = (Tanh, nn.Tanh, nn.Hardtanh, nn.Sigmoid)
ACTIVATIONS = (*SATURATING, nn.ReLU, nn.LeakyReLU, nn.ELU, nn.GELU, nn.SiLU)
EARLY = (1, 10, 100, 1000)  # updates that are always looked at: most happens early
SATURATED = 0.97  # |t| above which a tanh unit hardly learns: its derivative is below 0.06


@dataclass(frozen=True)
class Statistics:
    """Of the inputs of one BatchNorm layer.

    Args:
        mean: (H,) of the minibatch.
        var: (H,) of the minibatch, biased.
        layer: the layer, whose running statistics they go into.
    """

    mean: Tensor
    var: Tensor
    layer: nn.BatchNorm1d


@dataclass(frozen=True)
class Observation:
    """What a pass showed. All names are those of modules and parameters, zero-padded.

    Args:
        loss: of the minibatch; None without one.
        activations: output of each activation layer, (B, H).
        flat: where each of them is too flat to learn, (B, H) bool.
        saturating: the names of those that have two flat ends, as tanh does; ReLU has not.
        gradients: of the loss with respect to each activation, (B, H); empty without a loss.
        weights: the parameters with at least two dimensions.
        weight_gradients: of the loss with respect to each of these.
        batch_norms: the minibatch's statistics at each BatchNorm layer.
    """

    loss: Tensor | None
    activations: dict[str, Tensor]
    flat: dict[str, Tensor]
    saturating: frozenset[str] = frozenset()
    gradients: dict[str, Tensor] = field(default_factory=dict)
    weights: dict[str, Tensor] = field(default_factory=dict)
    weight_gradients: dict[str, Tensor] = field(default_factory=dict)
    batch_norms: dict[str, Statistics] = field(default_factory=dict)


def observe(net: nn.Module, run: Callable[[], Tensor | None]) -> Observation:
    """Runs a forward pass, and a backward pass if it gives a loss, and notes what it sees.

    Parameters, their gradients, buffers and the random state are as before.

    Args:
        net: the network, in the mode it shall be observed in.
        run: passes a minibatch through it; returns the scalar loss, or None.
    """
    outputs: dict[str, Tensor] = {}
    flat: dict[str, Tensor] = {}
    norms: dict[str, Statistics] = {}
    names = labels(name for name, _ in net.named_modules())

    def watch_activation(layer: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> None:
        name = names[of[layer]]
        outputs[name] = output
        flat[name] = is_flat(layer, output.detach())

    def watch_norm(layer: nn.BatchNorm1d, args: tuple[Tensor, ...], output: Tensor) -> None:
        x = args[0].detach().to(torch.promote_types(args[0].dtype, torch.float32))
        norms[names[of[layer]]] = Statistics(x.mean(0), x.var(0, correction=0), layer)

    of: dict[nn.Module, str] = {module: name for name, module in net.named_modules()}
    buffers = {buffer: buffer.clone() for buffer in net.buffers()}
    handles = []
    for module in of:
        if isinstance(module, ACTIVATIONS):
            handles.append(module.register_forward_hook(watch_activation))
        elif isinstance(module, nn.BatchNorm1d | nn.SyncBatchNorm):
            handles.append(module.register_forward_hook(watch_norm))  # type: ignore[arg-type]
    devices = sorted({p.device.index or 0 for p in net.parameters() if p.is_cuda})
    try:
        with torch.random.fork_rng(devices):
            loss = run()
    finally:
        for handle in handles:
            handle.remove()
        with torch.no_grad():
            for buffer, value in buffers.items():
                buffer.copy_(value)
    activations = {name: output.detach() for name, output in outputs.items()}
    saturating = frozenset(names[of[m]] for m in of if isinstance(m, SATURATING))
    if loss is None:
        return Observation(None, activations, flat, saturating, batch_norms=norms)
    weights = weights_of(net)
    at = [*outputs.values(), *weights.values()]
    found = torch.autograd.grad(loss, at, allow_unused=True)
    named = [
        (name, g) for name, g in zip([*outputs, *weights], found, strict=True) if g is not None
    ]
    return Observation(
        loss.detach(),
        activations,
        flat,
        saturating,
        {name: g for name, g in named if name in outputs},
        {name: w.detach() for name, w in weights.items()},
        {name: g for name, g in named if name in weights},
        norms,
    )


def is_due(step: int, every_n_steps: int) -> bool:
    """Whether update number `step` is looked at: every n-th is, and a few early ones."""
    return step in EARLY or (step > 0 and step % every_n_steps == 0)


def until_due(step: int, every_n_steps: int) -> int:
    """Updates from number `step` to the next one that is looked at."""
    early = [first - step for first in EARLY if first > step]
    return min([every_n_steps - step % every_n_steps, *early])


def is_flat(layer: nn.Module, output: Tensor) -> Tensor:
    """Where an activation is too flat to learn: saturated, or for ReLU and its like at zero."""
    if isinstance(layer, Tanh | nn.Tanh | nn.Hardtanh):
        return output.abs() > SATURATED
    if isinstance(layer, nn.Sigmoid):
        return (2 * output - 1).abs() > SATURATED
    if isinstance(layer, nn.ReLU):
        return output == 0
    return torch.zeros_like(output, dtype=torch.bool)


def parameters_of(net: nn.Module) -> dict[str, Tensor]:
    """All trained parameters under their zero-padded names."""
    found = {name: p for name, p in net.named_parameters() if p.requires_grad}
    return {label: found[name] for name, label in labels(found).items()}


def weights_of(net: nn.Module) -> dict[str, Tensor]:
    """Those with at least two dimensions."""
    return {name: p for name, p in parameters_of(net).items() if p.ndim >= 2}


def labels(names: Iterable[str]) -> dict[str, str]:
    """Names with numbers padded to one width, so that they sort: layers.2 to layers.02."""
    return _labels(tuple(names))


@cache
def _labels(names: tuple[str, ...]) -> dict[str, str]:
    numbers = [number for name in names for number in re.findall(r"\d+", name)]
    width = max(map(len, numbers), default=1)
    return {name: re.sub(r"\d+", lambda m: m[0].zfill(width), name) for name in names}

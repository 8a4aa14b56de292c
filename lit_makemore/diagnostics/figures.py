"""What a probe and an update show, by name: docs/diagnostics.md. Gradients are not clipped."""

from itertools import pairwise
from math import inf, isfinite, log10
from typing import Any

import torch
from torch import Tensor, nn

from lit_makemore.diagnostics.probe import Norm, Probe, network_of, parameters_of, tensor_names
from lit_makemore.network.layers import Linear
from lit_makemore.network.mlp import cross_entropy, evaluating
from lit_makemore.words.windows import Windows

Figures = dict[str, float]

GUIDE = -3.0  # update_ratio: the lecture's rule of thumb
EXAMPLES = 1000  # of each split: enough for a difference of a tenth of a nat


def of_probe(probe: Probe) -> Figures:
    """All figures of a probe. Only activations that are flat at both ends can be saturated."""
    found: dict[str, Tensor] = {} if probe.loss is None else {"loss": probe.loss}
    for name, t in probe.activations.items():
        flat = probe.flat[name]
        found |= {f"activation_mean/{name}": t.mean(), f"activation_std/{name}": t.std()}
        found[f"activation_dead/{name}"] = 100 * flat.all(0).float().mean()
        if name in probe.saturating:
            found[f"activation_saturated/{name}"] = 100 * flat.float().mean()
    groups = {"gradient": probe.gradients, "weight_gradient": probe.weight_gradients}
    for group, gradients in groups.items():
        for name, g in gradients.items():
            found |= {f"{group}_mean/{name}": g.mean(), f"{group}_std/{name}": spread(g)}
    for name in probe.weight_gradients:  # of a constant weight it is not finite
        std = spread(probe.weights[name])
        found[f"grad_to_data/{name}"] = found[f"weight_gradient_std/{name}"] / std
    for name, (layer, mean) in probe.batch_norms.items():
        if layer.running_mean is not None and layer.running_var is not None:
            std = (layer.running_var + layer.eps).sqrt()
            found[f"batch_norm_mean/{name}"] = layer.running_mean.abs().max()
            found[f"batch_norm_std/{name}"] = std.max()
            found[f"batch_norm_drift/{name}"] = ((mean - layer.running_mean).abs() / std).mean()
            if layer.weight is not None and layer.bias is not None:
                found[f"batch_norm_gamma/{name}"] = layer.weight.detach().mean()
                found[f"batch_norm_beta/{name}"] = layer.bias.detach().std()
    figures: Figures = _numbers(found)
    return {k: x for k, x in figures.items() if isfinite(x) or not k.startswith("grad_to_data/")}


def histograms(probe: Probe) -> dict[str, tuple[Tensor, float]]:
    """Tensors by name, each with the limit of its histogram, which is drawn on ±limit."""
    found = {}
    for group in ("activations", "gradients", "weight_gradients"):
        for name, t in getattr(probe, group).items():
            if 0 < (limit := float(t.abs().max())) < inf:
                fixed = 1.0 if limit <= 1 else 4.0
                found[f"{group}/{name}"] = t, fixed if group == "activations" else limit
    return found


def before_update(net: nn.Module) -> dict[str, Tensor]:
    """A copy of the parameters, without biases before BatchNorm, whose gradients are rounding."""
    redundant = {
        layer.bias
        for block in net.modules()
        if isinstance(block, nn.Sequential)
        for layer, following in pairwise(block)
        if isinstance(layer, Linear | nn.Linear) and isinstance(following, Norm)
    }
    trained = parameters_of(net).items()
    return {name: p.detach().clone() for name, p in trained if p not in redundant}


def update_ratios(before: dict[str, Tensor], after: dict[str, Tensor]) -> Figures:
    """update_ratio of each parameter that was not constant; −inf, the worst, without any change."""
    changes = {name: after[name].detach() - p for name, p in before.items() if p.numel() > 1}
    rows = {
        name: torch.stack([change.std(), change.abs().max(), spread(before[name])])
        for name, change in changes.items()
    }
    return {
        f"update_ratio/{name}": log10(change / data) if largest else -inf
        for name, (change, largest, data) in _numbers(rows).items()
        if largest == 0 or (change > 0 and data > 0)
    }


@torch.no_grad()
def held_out_loss(module: nn.Module, windows: Windows) -> float:
    """The loss of the first 1,000 examples of a split, in evaluation mode."""
    x, y = windows[torch.arange(min(EXAMPLES, len(windows)))]
    with evaluating(network_of(module)):
        return float(cross_entropy(module(x), y))


@torch.no_grad()
def nonfinite_tensors(net: nn.Module, probe: Probe | None = None) -> list[str]:
    """The names of a network's tensors, and of what a probe showed, with a NaN or an infinity."""
    probe, shown = probe or Probe(), tensor_names(net)
    tensors = {} if probe.loss is None else {"the loss": probe.loss}
    tensors |= {f"activation {name}": t for name, t in probe.activations.items()}
    gradients = probe.gradients | probe.weight_gradients
    tensors |= {f"gradient of {name}": t for name, t in gradients.items()}
    tensors |= {f"parameter {shown[name]}": p for name, p in net.named_parameters()}
    tensors |= {shown[name]: b for name, b in net.named_buffers()}
    return [name for name, t in tensors.items() if not t.isfinite().all()]


def listed(names: list[str]) -> str:
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")


def spread(t: Tensor) -> Tensor:
    """The standard deviation; exactly zero of equal values, of which rounding makes some 1e-9."""
    return t.std() * (t.max() > t.min())


def _numbers(tensors: dict[str, Tensor]) -> dict[str, Any]:
    """Tensors of one shape as numbers: the device is waited for once."""
    found = torch.stack(list(tensors.values())).tolist() if tensors else []
    return dict(zip(tensors, found, strict=True))

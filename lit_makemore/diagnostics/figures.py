"""What a probe and an update show, as figures by name. Pure functions.

    loss                             of the minibatch, before the update
    activation_mean/<layer>          mean over examples and units
    activation_std/<layer>           standard deviation over examples and units
    activation_saturated/<layer>     % of the values that are saturated: |t| > 0.97 for tanh
    activation_dead/<layer>          % of the units that are saturated on the whole minibatch; for
                                     ReLU % of the units that are zero on the whole minibatch
    gradient_mean/<layer>            mean gradient of the loss with respect to the activations
    gradient_std/<layer>             its standard deviation
    weight_gradient_mean/<weight>    mean gradient of the loss with respect to the weight
    weight_gradient_std/<weight>     its standard deviation
    grad_to_data/<weight>            standard deviation of the gradient over that of the weight
    batch_norm_mean/<layer>          largest |running mean|
    batch_norm_std/<layer>           largest running standard deviation
    batch_norm_drift/<layer>         distance of the minibatch's mean from the running mean, in
                                     running standard deviations; mean over the units
    batch_norm_gamma/<layer>         mean of γ
    batch_norm_beta/<layer>          standard deviation of β
    update_ratio/<parameter>         log10 of std(change) / std(parameter), of the change that the
                                     update really made
    lr_grad_ratio/<weight>           log10 of lr · std(gradient) / std(weight), the lecture's form;
                                     the same figure for plain SGD without clipping
    held_out/train, held_out/val     losses of 1,000 examples, in evaluation mode
    held_out/lowest                  the lowest held_out/val so far
    held_out/lowest_step             the update that it followed

Gradients are not clipped. Layers and weights have the names of names.py.
"""

from itertools import pairwise
from math import inf, log10

import torch
from torch import Tensor, nn

from lit_makemore.diagnostics.names import NORMS, tensor_names
from lit_makemore.diagnostics.probe import Probe, network_of, parameters_of
from lit_makemore.network.layers import Linear
from lit_makemore.network.mlp import cross_entropy, evaluating
from lit_makemore.words.windows import Windows

Figures = dict[str, float]

GUIDE = -3.0  # update_ratio: the lecture's rule of thumb
EXAMPLES = 1000  # of each split: enough for a difference of a tenth of a nat


def of_probe(probe: Probe) -> Figures:
    """All figures of a probe."""
    loss = {} if probe.loss is None else {"loss": float(probe.loss)}
    return loss | activation_figures(probe) | gradient_figures(probe) | batch_norm_figures(probe)


def activation_figures(probe: Probe) -> Figures:
    """The four figures of each activation layer; only those flat at both ends are saturated."""
    rows = [
        torch.stack(
            [t.mean(), t.std(), 100 * flat.float().mean(), 100 * flat.all(0).float().mean()]
        )
        for t, flat in zip(probe.activations.values(), probe.flat.values(), strict=True)
    ]
    groups = ("activation_mean", "activation_std", "activation_saturated", "activation_dead")
    return {
        f"{group}/{name}": value
        for name, row in zip(probe.activations, _numbers(rows), strict=True)
        for group, value in zip(groups, row, strict=True)
        if group != "activation_saturated" or name in probe.saturating
    }


def gradient_figures(probe: Probe) -> Figures:
    """The figures of gradients; none without a loss. A constant weight has no grad_to_data."""
    figures: Figures = {}
    groups = {"gradient": probe.gradients, "weight_gradient": probe.weight_gradients}
    for group, gradients in groups.items():
        for name, (mean, std) in _mean_std(gradients).items():
            figures |= {f"{group}_mean/{name}": mean, f"{group}_std/{name}": std}
    for name, (_, std) in _mean_std(probe.weights).items():
        gradient = figures.get(f"weight_gradient_std/{name}")
        if std > 0 and gradient is not None:
            figures[f"grad_to_data/{name}"] = gradient / std
    return figures


def batch_norm_figures(probe: Probe) -> Figures:
    """The five figures of each BatchNorm layer that has running statistics."""
    figures: Figures = {}
    for name, (layer, mean) in probe.batch_norms.items():
        if layer.running_mean is None or layer.running_var is None:
            continue
        std = (layer.running_var + layer.eps).sqrt()
        values = {
            "mean": layer.running_mean.abs().max(),
            "std": std.max(),
            "drift": ((mean - layer.running_mean).abs() / std).mean(),
        }
        if layer.affine:
            values |= {"gamma": layer.weight.detach().mean(), "beta": layer.bias.detach().std()}
        row = torch.stack([value.to(std.dtype) for value in values.values()]).tolist()
        figures |= {f"batch_norm_{kind}/{name}": x for kind, x in zip(values, row, strict=True)}
    return figures


def histograms(probe: Probe) -> dict[str, tuple[Tensor, float]]:
    """Tensors by name, each with the limit of its histogram, which is drawn on ±limit."""
    found = {
        f"activations/{name}": (t, 1.0 if t.abs().max() <= 1 else 4.0)
        for name, t in probe.activations.items()
    }
    groups = {"gradients": probe.gradients, "weight_gradients": probe.weight_gradients}
    for group, gradients in groups.items():
        for name, g in gradients.items():
            if 0 < (limit := float(g.abs().max())) < inf:
                found[f"{group}/{name}"] = g, limit
    return found


def before_update(net: nn.Module) -> dict[str, Tensor]:
    """A copy of the parameters whose update_ratio tells something, by name.

    Biases that a BatchNorm layer follows at once, which takes them off, are left out: their
    gradients are zero but for rounding, and they are as large as that.
    """
    redundant = [
        layer.bias
        for block in net.modules()
        if isinstance(block, nn.Sequential)
        for layer, following in pairwise(block)
        if isinstance(layer, Linear | nn.Linear) and isinstance(following, NORMS)
    ]
    return {
        name: p.detach().clone()
        for name, p in parameters_of(net).items()
        if not any(p is bias for bias in redundant)
    }


def update_ratios(before: dict[str, Tensor], after: dict[str, Tensor]) -> Figures:
    """update_ratio of each parameter; minus infinity, the worst ratio, without any change.

    A parameter that was constant and has changed, as γ of BatchNorm at first, has no ratio.
    """
    names = [name for name, p in before.items() if p.numel() > 1]
    rows = []
    for name in names:
        change = after[name].detach() - before[name]
        rows.append(torch.stack([change.std(), change.abs().max(), spread(before[name])]))
    return {
        f"update_ratio/{name}": log10(change / data) if largest else -inf
        for name, (change, largest, data) in zip(names, _numbers(rows), strict=True)
        if largest == 0 or (change > 0 and data > 0)
    }


def lr_grad_ratios(figures: Figures, lr: float) -> Figures:
    """lr_grad_ratio of each weight that has a grad_to_data above zero."""
    ratios = {
        name.removeprefix("grad_to_data/"): lr * ratio
        for name, ratio in figures.items()
        if name.startswith("grad_to_data/") and ratio > 0
    }
    return {f"lr_grad_ratio/{name}": log10(ratio) for name, ratio in ratios.items()}


@torch.no_grad()
def held_out_loss(module: nn.Module, windows: Windows) -> float:
    """The loss of the first 1,000 examples of a split, in evaluation mode."""
    x, y = windows[torch.arange(min(EXAMPLES, len(windows)))]
    with evaluating(network_of(module)):
        return float(cross_entropy(module(x), y))


def nonfinite_tensors(net: nn.Module, probe: Probe | None = None) -> list[str]:
    """The names of all tensors that hold a NaN or an infinity; an empty list for a sound network.

    Args:
        net: its parameters and buffers are checked.
        probe: its loss, activations and gradients are checked, too.
    """
    tensors: dict[str, Tensor] = {}
    if probe is not None:
        if probe.loss is not None:
            tensors["the loss"] = probe.loss
        tensors |= {f"activation {name}": t for name, t in probe.activations.items()}
        gradients = probe.gradients | probe.weight_gradients
        tensors |= {f"gradient of {name}": t for name, t in gradients.items()}
    shown = tensor_names(net)
    tensors |= {f"parameter {shown[name]}": p for name, p in net.named_parameters()}
    tensors |= {shown[name]: b for name, b in net.named_buffers() if b.is_floating_point()}
    with torch.no_grad():
        # One test of all sums: the device is waited for once as long as nothing is wrong.
        if not tensors or torch.stack([t.sum().isfinite() for t in tensors.values()]).all():
            return []
        return [name for name, t in tensors.items() if not t.isfinite().all()]


def listed(names: list[str]) -> str:
    """The first four names, and how many more there are."""
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")


def spread(t: Tensor) -> Tensor:
    """The standard deviation; exactly zero of equal values, of which rounding makes some 1e-9."""
    return t.std() * (t.max() > t.min())


def _mean_std(tensors: dict[str, Tensor]) -> dict[str, list[float]]:
    rows = [torch.stack([t.mean(), spread(t)]) for t in tensors.values()]
    return dict(zip(tensors, _numbers(rows), strict=True))


def _numbers(rows: list[Tensor]) -> list[list[float]]:
    """Rows of figures as numbers: the device is waited for once."""
    return torch.stack(rows).tolist() if rows else []

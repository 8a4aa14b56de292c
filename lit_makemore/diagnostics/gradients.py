"""Does the loss reach every layer? Gradients of activations and weights."""

from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor

from lit_makemore.diagnostics.events import histogram
from lit_makemore.diagnostics.monitor import DueUpdate, Monitor
from lit_makemore.diagnostics.probe import Probe, spread


class GradientMonitor(Monitor):
    """Writes for each activation layer and each weight, before each update that is due:

        gradient_mean/<layer>          mean gradient of the loss with respect to the activations
        gradient_std/<layer>           its standard deviation
        gradients/<layer>              its histogram
        weight_gradient_mean/<weight>  mean gradient of the loss with respect to the weight
        weight_gradient_std/<weight>   its standard deviation
        weight_gradients/<weight>      its histogram
        grad_to_data/<weight>          standard deviation of the gradient over that of the weight

    Gradients are not clipped. The module must have a method `loss(batch)` that returns the scalar
    loss; without it nothing is written.

    Args:
        every_n_steps: see Monitor.
    """

    def before_update(
        self, trainer: pl.Trainer, module: pl.LightningModule, batch: Any, due: DueUpdate
    ) -> None:
        probe = self.probe(trainer, module, batch, due)
        groups = {"gradients": probe.gradients, "weight_gradients": probe.weight_gradients}
        histograms = {
            f"{group}/{name}": histogram(g, limit)
            for group, gradients in groups.items()
            for name, g in gradients.items()
            if 0 < (limit := float(g.abs().max())) < float("inf")
        }
        self.write(trainer, due, gradient_scalars(probe), histograms)


def gradient_scalars(probe: Probe) -> dict[str, float]:
    """The figures by tag. A constant weight has no grad_to_data."""
    scalars: dict[str, float] = {}
    groups = {"gradient": probe.gradients, "weight_gradient": probe.weight_gradients}
    for group, gradients in groups.items():
        for name, (mean, std) in _mean_std(gradients).items():
            scalars |= {f"{group}_mean/{name}": mean, f"{group}_std/{name}": std}
    for name, (_, std) in _mean_std(probe.weights).items():
        gradient = scalars.get(f"weight_gradient_std/{name}")
        if std > 0 and gradient is not None:
            scalars[f"grad_to_data/{name}"] = gradient / std
    return scalars


def _mean_std(tensors: dict[str, Tensor]) -> dict[str, list[float]]:
    if not tensors:
        return {}
    rows = torch.stack([torch.stack([t.mean(), spread(t)]) for t in tensors.values()])
    return dict(zip(tensors, rows.tolist(), strict=True))

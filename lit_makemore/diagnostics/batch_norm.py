"""Does evaluation see what training saw? The statistics of Batch Normalization."""

from typing import Any

import lightning.pytorch as pl
import torch

from lit_makemore.diagnostics.monitor import DueUpdate, Monitor
from lit_makemore.diagnostics.probe import Probe


class BatchNormMonitor(Monitor):
    """Writes for each BatchNorm layer, before each update that is due:

        batch_norm_mean/<layer>    largest |running mean|
        batch_norm_std/<layer>     largest running standard deviation
        batch_norm_drift/<layer>   distance of the minibatch's mean from the running mean, in
                                   running standard deviations; mean over the units
        batch_norm_gamma/<layer>   mean of γ
        batch_norm_beta/<layer>    standard deviation of β

    Args:
        every_n_steps: see Monitor.
    """

    def before_update(
        self, trainer: pl.Trainer, module: pl.LightningModule, batch: Any, due: DueUpdate
    ) -> None:
        probe = self.probe(trainer, module, batch, due)
        self.write(trainer, due, batch_norm_scalars(probe))


def batch_norm_scalars(probe: Probe) -> dict[str, float]:
    """The five figures of each layer, by tag."""
    scalars: dict[str, float] = {}
    for name, found in probe.batch_norms.items():
        layer = found.layer
        if layer.running_mean is None or layer.running_var is None:
            continue
        std = (layer.running_var + layer.eps).sqrt()
        figures = {
            "mean": layer.running_mean.abs().max(),
            "std": std.max(),
            "drift": ((found.mean - layer.running_mean).abs() / std).mean(),
        }
        if layer.affine:
            figures |= {"gamma": layer.weight.detach().mean(), "beta": layer.bias.detach().std()}
        values = torch.stack([v.to(std.dtype) for v in figures.values()]).tolist()
        scalars |= {f"batch_norm_{k}/{name}": v for k, v in zip(figures, values, strict=True)}
    return scalars

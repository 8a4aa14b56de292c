"""Does evaluation see what training saw? The statistics of Batch Normalization."""

from typing import Any

import lightning.pytorch as pl
import torch

from lit_makemore.diagnostics import diagnosis
from lit_makemore.diagnostics.monitor import Observer
from lit_makemore.diagnostics.probe import Observation


class BatchNormMonitor(Observer):
    """Writes, for each BatchNorm layer:

        batch_norm_mean/<layer>    largest |running mean|
        batch_norm_std/<layer>     largest running standard deviation
        batch_norm_drift/<layer>   mean distance of minibatch and running mean, in running std
        batch_norm_gamma/<layer>   mean of γ
        batch_norm_beta/<layer>    standard deviation of β

    before every n-th update and a few early ones.

    Args:
        every_n_steps: see Observer.
    """

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        seen = diagnosis.look(trainer, pl_module, batch, self.observes_every)
        if seen is None:
            return
        with diagnosis.of(trainer).timed():
            diagnosis.write(trainer, trainer.global_step + 1, batch_norm_scalars(seen))


def batch_norm_scalars(seen: Observation) -> dict[str, float]:
    """The five figures of each layer by tag."""
    scalars: dict[str, float] = {}
    for name, found in seen.batch_norms.items():
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

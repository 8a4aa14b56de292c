"""Does the loss reach every layer? Gradients of activations and weights."""

from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor

from lit_makemore.diagnostics import diagnosis
from lit_makemore.diagnostics.monitor import Observer
from lit_makemore.diagnostics.probe import Observation


class GradientMonitor(Observer):
    """Writes, for each activation layer and each weight with at least two dimensions:

        gradient_mean/<layer>, gradient_std/<layer>   of the loss with respect to the activations
        gradients/<layer>                             their histogram
        weight_gradient_mean/<weight>, …_std/<weight> of the loss with respect to the weight
        weight_gradients/<weight>                     its histogram
        grad_to_data/<weight>                         standard deviation of gradient over weight

    of the first minibatch of every n-th update and of a few early ones, before clipping. The
    module must have a method loss(batch) that returns the scalar loss.

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
            histograms = {
                f"{group}/{name}": diagnosis.histogram(g, limit)
                for group, found in (
                    ("gradients", seen.gradients),
                    ("weight_gradients", seen.weight_gradients),
                )
                for name, g in found.items()
                if 0 < (limit := float(g.abs().max())) < float("inf")
            }
            diagnosis.write(trainer, trainer.global_step + 1, gradient_scalars(seen), histograms)


def gradient_scalars(seen: Observation) -> dict[str, float]:
    """The figures by tag; a ratio to a constant weight is left out."""
    scalars: dict[str, float] = {}
    for prefix, found in (("gradient", seen.gradients), ("weight_gradient", seen.weight_gradients)):
        for (name, _), (mean, std) in zip(found.items(), _mean_std(found), strict=True):
            scalars |= {f"{prefix}_mean/{name}": mean, f"{prefix}_std/{name}": std}
    for (name, _), (_, std) in zip(seen.weights.items(), _mean_std(seen.weights), strict=True):
        gradient = scalars.get(f"weight_gradient_std/{name}")
        if std > 0 and gradient is not None:
            scalars[f"grad_to_data/{name}"] = gradient / std
    return scalars


def _mean_std(tensors: dict[str, Tensor]) -> list[list[float]]:
    rows = [torch.stack([t.mean(), t.std()]) for t in tensors.values()]
    return torch.stack(rows).tolist() if rows else []

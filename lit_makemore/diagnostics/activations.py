"""Do the units still react? The activations of every layer."""

from typing import Any

import lightning.pytorch as pl
import torch

from lit_makemore.diagnostics import diagnosis
from lit_makemore.diagnostics.monitor import Observer
from lit_makemore.diagnostics.probe import Observation


class ActivationMonitor(Observer):
    """Writes, for each activation layer of any module with torch.nn's layers or ours:

        activation_mean/<layer>       mean over examples and units
        activation_std/<layer>        standard deviation over both
        activation_saturated/<layer>  % of all values that are saturated, |t| > 0.97 for tanh
        activation_dead/<layer>       % of units that are so, or zero for ReLU, on the whole batch
        activations/<layer>           histogram, on [-1, 1] for tanh

    of the first minibatch of every n-th update and of a few early ones, before that update.

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
                f"activations/{name}": diagnosis.histogram(t, 1.0 if t.abs().max() <= 1 else 4.0)
                for name, t in seen.activations.items()
            }
            diagnosis.write(trainer, trainer.global_step + 1, activation_scalars(seen), histograms)


def activation_scalars(seen: Observation) -> dict[str, float]:
    """The four figures of each layer, by tag; shares in %."""
    if not seen.activations:
        return {}
    rows = [
        torch.stack(
            [t.mean(), t.std(), 100 * flat.float().mean(), 100 * flat.all(0).float().mean()]
        )
        for t, flat in zip(seen.activations.values(), seen.flat.values(), strict=True)
    ]
    tags = ("activation_mean", "activation_std", "activation_saturated", "activation_dead")
    return {
        f"{tag}/{name}": value
        for name, row in zip(seen.activations, torch.stack(rows).tolist(), strict=True)
        for tag, value in zip(tags, row, strict=True)
        if tag != "activation_saturated" or name in seen.saturating
    }

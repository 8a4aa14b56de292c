"""Do the units still react? The activations of every layer."""

from typing import Any

import lightning.pytorch as pl
import torch

from lit_makemore.diagnostics.events import histogram
from lit_makemore.diagnostics.monitor import DueUpdate, Monitor
from lit_makemore.diagnostics.probe import Probe


class ActivationMonitor(Monitor):
    """Writes for each activation layer, before each update that is due:

        activation_mean/<layer>       mean over examples and units
        activation_std/<layer>        standard deviation over examples and units
        activation_saturated/<layer>  % of the values that are saturated: |t| > 0.97 for tanh
        activation_dead/<layer>       % of the units that are saturated on the whole minibatch; for
                                      ReLU % of the units that are zero on the whole minibatch
        activations/<layer>           histogram, on [-1, 1] for tanh

    Args:
        every_n_steps: see Monitor.
    """

    def before_update(
        self, trainer: pl.Trainer, module: pl.LightningModule, batch: Any, due: DueUpdate
    ) -> None:
        probe = self.probe(trainer, module, batch, due)
        histograms = {
            f"activations/{name}": histogram(t, 1.0 if t.abs().max() <= 1 else 4.0)
            for name, t in probe.activations.items()
        }
        self.write(trainer, due, activation_scalars(probe), histograms)


def activation_scalars(probe: Probe) -> dict[str, float]:
    """The four figures of each layer, by tag; shares in %."""
    if not probe.activations:
        return {}
    rows = [
        torch.stack(
            [t.mean(), t.std(), 100 * flat.float().mean(), 100 * flat.all(0).float().mean()]
        )
        for t, flat in zip(probe.activations.values(), probe.flat.values(), strict=True)
    ]
    tags = ("activation_mean", "activation_std", "activation_saturated", "activation_dead")
    return {
        f"{tag}/{name}": value
        for name, row in zip(probe.activations, torch.stack(rows).tolist(), strict=True)
        for tag, value in zip(tags, row, strict=True)
        if tag != "activation_saturated" or name in probe.saturating
    }

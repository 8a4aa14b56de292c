"""Is the learning rate right? The size of an update compared with what it changes."""

from math import log10
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor

from lit_makemore.diagnostics.monitor import DueUpdate, Monitor
from lit_makemore.diagnostics.probe import network_of, parameters_of

GUIDE = -3.0  # the lecture's rule of thumb


class UpdateMonitor(Monitor):
    """Writes for each parameter, after each update that is due:

        update_ratio/<parameter>   log10 of std(change) / std(parameter), of the change that the
                                   update really made
        update_ratio/guide         -3, the rule of thumb
        lr_grad_ratio/<weight>     log10 of lr · std(gradient) / std(weight), the lecture's form;
                                   the same figure for plain SGD without clipping

    A constant parameter has no ratio; the γ of BatchNorm is constant at first. lr_grad_ratio takes
    the gradients from a GradientMonitor that comes before.

    Args:
        every_n_steps: see Monitor.
    """

    def before_update(
        self, trainer: pl.Trainer, module: pl.LightningModule, batch: Any, due: DueUpdate
    ) -> None:
        parameters = parameters_of(network_of(module))
        self._before = {name: p.detach().clone() for name, p in parameters.items()}

    def after_update(self, trainer: pl.Trainer, module: pl.LightningModule, due: DueUpdate) -> None:
        scalars = {"update_ratio/guide": GUIDE}
        scalars |= update_ratios(self._before, parameters_of(network_of(module)))
        if lr_at := getattr(module, "lr_at", None):
            for name in self._before:
                ratio = due.figures.get(f"grad_to_data/{name}", 0.0)
                if ratio > 0:
                    scalars[f"lr_grad_ratio/{name}"] = log10(ratio * lr_at(due.step - 1))
        self._before = {}
        self.write(trainer, due, scalars)


def update_ratios(before: dict[str, Tensor], after: dict[str, Tensor]) -> dict[str, float]:
    """log10 of std(after - before) / std(before) by tag, where both are positive."""
    names = [name for name, p in before.items() if p.numel() > 1]
    if not names:
        return {}
    rows = torch.stack(
        [torch.stack([(after[n].detach() - before[n]).std(), before[n].std()]) for n in names]
    )
    return {
        f"update_ratio/{name}": log10(change / data)
        for name, (change, data) in zip(names, rows.tolist(), strict=True)
        if change > 0 and data > 0
    }

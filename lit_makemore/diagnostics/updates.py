"""Is the learning rate right? The size of an update compared with what it changes."""

from itertools import pairwise
from math import inf, log10
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor, nn

from lit_makemore.diagnostics.monitor import DueUpdate, Monitor
from lit_makemore.diagnostics.names import NORMS
from lit_makemore.diagnostics.probe import network_of, parameters_of, spread
from lit_makemore.network.layers import Linear

GUIDE = -3.0  # the lecture's rule of thumb


class UpdateMonitor(Monitor):
    """Writes for each parameter, after each update that is due:

        update_ratio/<parameter>   log10 of std(change) / std(parameter), of the change that the
                                   update really made
        update_ratio/guide         -3, the rule of thumb
        lr_grad_ratio/<weight>     log10 of lr · std(gradient) / std(weight), the lecture's form;
                                   the same figure for plain SGD without clipping

    A change of zero is the smallest ratio, minus infinity, which is judged but not drawn. Without a
    ratio are parameters that are constant and change, as γ of BatchNorm at first, and redundant
    biases, before BatchNorm: their gradients are zero but for rounding, and they are as large as
    that. lr_grad_ratio takes the gradients from a GradientMonitor that comes before.

    Args:
        every_n_steps: see Monitor.
    """

    def before_update(
        self, trainer: pl.Trainer, module: pl.LightningModule, batch: Any, due: DueUpdate
    ) -> None:
        net = network_of(module)
        redundant = redundant_biases(net)
        self._before = {
            name: p.detach().clone()
            for name, p in parameters_of(net).items()
            if not any(p is bias for bias in redundant)
        }

    def after_update(self, trainer: pl.Trainer, module: pl.LightningModule, due: DueUpdate) -> None:
        scalars = {"update_ratio/guide": GUIDE}
        ratios = update_ratios(self._before, parameters_of(network_of(module)))
        scalars |= {tag: ratio for tag, ratio in ratios.items() if ratio > -inf}
        if trainer.precision != "16-mixed":  # which skips updates, when its gradients overflow
            due.figures.update(ratios)
        if lr_at := getattr(module, "lr_at", None):
            for name in self._before:
                ratio = due.figures.get(f"grad_to_data/{name}", 0.0)
                if ratio > 0:
                    scalars[f"lr_grad_ratio/{name}"] = log10(ratio * lr_at(due.step - 1))
        self._before = {}
        self.write(trainer, due, scalars)


def update_ratios(before: dict[str, Tensor], after: dict[str, Tensor]) -> dict[str, float]:
    """log10 of std(after - before) / std(before) by tag; minus infinity without any change."""
    names = [name for name, p in before.items() if p.numel() > 1]
    if not names:
        return {}
    rows = []
    for name in names:
        change = after[name].detach() - before[name]
        rows.append(torch.stack([change.std(), change.abs().max(), spread(before[name])]))
    return {
        f"update_ratio/{name}": log10(change / data) if largest else -inf
        for name, (change, largest, data) in zip(names, torch.stack(rows).tolist(), strict=True)
        if largest == 0 or (change > 0 and data > 0)
    }


def redundant_biases(net: nn.Module) -> list[Tensor]:
    """The biases of Linear layers that a BatchNorm layer follows at once, which takes them off."""
    return [
        layer.bias
        for block in net.modules()
        if isinstance(block, nn.Sequential)
        for layer, following in pairwise(block)
        if isinstance(layer, Linear | nn.Linear)
        and layer.bias is not None
        and isinstance(following, NORMS)
    ]

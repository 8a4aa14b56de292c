"""Is the learning rate right? What an update changes, beside what it changes."""

from math import log10
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor

from lit_makemore.diagnostics import diagnosis
from lit_makemore.diagnostics.monitor import Observer
from lit_makemore.diagnostics.probe import is_due, parameters_of

GUIDE = -3.0  # the lecture's rule of thumb


class UpdateMonitor(Observer):
    """Writes, for each parameter:

        update_ratio/<parameter>   log10 of std(change) / std(parameter): the change that every
                                   n-th update and a few early ones really made
        update_ratio/guide         -3, the rule of thumb
        lr_grad_ratio/<weight>     log10 of lr · std(gradient) / std(weight), the lecture's form;
                                   the same for plain SGD without clipping

    A parameter that is constant, as the gains of BatchNorm are at first, has no ratio.

    Args:
        every_n_steps: see Observer.
    """

    def __init__(self, every_n_steps: int | None = None) -> None:
        super().__init__(every_n_steps)
        self._before: tuple[int, dict[str, Tensor]] | None = None
        self._copies: dict[str, Tensor] = {}

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        step = trainer.global_step + 1
        if is_due(step, self.observes_every) and self._before is None:
            with diagnosis.of(trainer).timed(), torch.no_grad():
                parameters = parameters_of(diagnosis.net_of(pl_module))
                if not self._copies:
                    self._copies = {name: torch.empty_like(p) for name, p in parameters.items()}
                torch._foreach_copy_(list(self._copies.values()), list(parameters.values()))
                self._before = step, self._copies

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, *args: Any
    ) -> None:
        if self._before is None or self._before[0] != trainer.global_step:
            return  # nothing pending, or gradients are still being added up
        shared = diagnosis.of(trainer)
        with shared.timed():
            step, before = self._before
            self._before = None
            scalars = update_ratios(before, parameters_of(diagnosis.net_of(pl_module)))
            if lr_at := getattr(pl_module, "lr_at", None):
                for name in before:
                    ratio = shared.values.get(f"grad_to_data/{name}", 0.0)
                    if ratio > 0:
                        scalars[f"lr_grad_ratio/{name}"] = log10(ratio * lr_at(step - 1))
            diagnosis.write(trainer, step, {"update_ratio/guide": GUIDE, **scalars})


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

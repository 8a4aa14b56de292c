"""What the diagnostics themselves take."""

from time import perf_counter
from typing import Any

import lightning.pytorch as pl

from lit_makemore.diagnostics import diagnosis
from lit_makemore.diagnostics.monitor import Observer
from lit_makemore.diagnostics.probe import is_due


class DiagnosticsCost(Observer):
    """Writes, at every look,

        diagnostics/share_of_time   % of the training time so far that observers have taken

    Args:
        every_n_steps: see Observer.
    """

    def __init__(self, every_n_steps: int | None = None) -> None:
        super().__init__(every_n_steps)
        self._step = 0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._begun = perf_counter()

    def on_train_batch_end(self, trainer: pl.Trainer, *args: Any) -> None:
        step = trainer.global_step
        if step > max(self._step, 1) and is_due(step, self.observes_every):
            self._step = step
            share = 100 * diagnosis.of(trainer).seconds / (perf_counter() - self._begun)
            diagnosis.write(trainer, step, {"diagnostics/share_of_time": share})

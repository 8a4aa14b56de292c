"""Stops a run whose loss is NaN or infinite."""

from math import isfinite
from typing import Any

import lightning.pytorch as pl

from lit_makemore.diagnostics.checks import Seen, judge, options_of
from lit_makemore.diagnostics.figures import listed, nonfinite_tensors
from lit_makemore.diagnostics.probe import network_of
from lit_makemore.training.groups import AtUpdates


class Diverged(ValueError):
    """The loss of a run is not finite."""


class StopOnNaN(AtUpdates):
    """Checks the losses of all processes every log_every_n_steps updates.

    If one is NaN or infinite, it names the tensors that are too, and stops the run. last.ckpt is
    older than that.

    Raises:
        Diverged: the loss is not finite.
    """

    def setup(self, trainer: Any, pl_module: pl.LightningModule, stage: str) -> None:
        self._every = trainer.log_every_n_steps or 50

    def due(self, step: int) -> float:
        return (step // self._every + 1) * self._every

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, *args: Any
    ) -> None:
        step = trainer.global_step
        if step % self._every:
            return
        loss = float(outputs["loss"])
        if trainer.strategy.reduce_boolean_decision(isfinite(loss)):
            return
        if isfinite(loss):
            raise Diverged(f"the loss of another process is not finite at update {step}")
        found = nonfinite_tensors(network_of(pl_module))
        seen = Seen(step, options=options_of(trainer, pl_module), nonfinite=found or ["the loss"])
        raise Diverged(
            f"the loss is {loss} at update {step}"
            + (f"; these are not finite either: {listed(found)}" if found else "")
            + ("; last.ckpt was saved before" if trainer.checkpoint_callbacks else "")
            + f". Try {judge(seen)[0].advice}"
        )

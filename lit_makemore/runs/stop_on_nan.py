"""Stops a run whose loss is NaN or infinite."""

from math import isfinite
from typing import Any

import lightning.pytorch as pl

from lit_makemore.diagnostics.checks import Seen, judge, options_of
from lit_makemore.diagnostics.figures import listed, nonfinite_tensors
from lit_makemore.diagnostics.probe import network_of


class Diverged(ValueError):
    """The loss of a run is not finite."""


class FiniteGuard(pl.Callback):
    """Checks the losses of all processes every log_every_n_steps updates.

    If one is NaN or infinite, it names the tensors that are too, and stops the run. last.ckpt is
    older than that.

    Raises:
        Diverged: the loss is not finite.
    """

    takes_groups = True

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, *args: Any
    ) -> None:
        step, every = trainer.global_step, trainer.log_every_n_steps  # type: ignore[attr-defined]
        if step % (every or 50):
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

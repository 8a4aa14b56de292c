"""Stops a run whose numbers have gone."""

from math import isfinite
from typing import Any

import lightning.pytorch as pl

from lit_makemore.diagnostics import diagnosis
from lit_makemore.diagnostics.verdicts import ADVICE, faults, listed


class FiniteGuard(pl.Callback):
    """Looks at the losses of all processes every log_every_n_steps updates. If one is a NaN or
    infinite, names the tensors that are, too, and stops the run; the last checkpoint is of the
    time before.

    Raises:
        ValueError: the loss is not finite.
    """

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
            raise ValueError(f"the loss of another process is not finite at update {step}")
        found = faults(diagnosis.net_of(pl_module))
        raise ValueError(
            f"the loss is {loss} at update {step}"
            + (f", and so are {listed(found)}" if found else "")
            + ("; last.ckpt is of the time before" if trainer.checkpoint_callbacks else "")
            + f". Try {ADVICE['nan']}"
        )

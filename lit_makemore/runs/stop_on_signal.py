"""SIGTERM, SIGINT and SIGUSR1 end a run between two updates, with everything saved."""

import signal
from contextlib import suppress
from math import inf
from pathlib import Path
from subprocess import TimeoutExpired
from typing import Any

import lightning.pytorch as pl
import torch

from lit_makemore.runs import signals, slurm
from lit_makemore.runs.signals import Stopped
from lit_makemore.training.groups import AtUpdates
from lit_makemore.training.lightning_internals import validation_follows

EVERY = 10  # updates between two times that several processes ask each other for a signal


class StopOnSignal(AtUpdates):
    """Raises Stopped after the update during which a noted signal came. It saves nothing.

    Several processes stop after the same update, no matter which of them got the signal.
    SLURM warns a job by SIGUSR1 and ends a preempted job by SIGTERM. Such a job is queued again, if
    a subclass has saved its run.

    Args:
        max_requeues: how often a SLURM job is queued again.
    """

    def __init__(self, max_requeues: int = 0) -> None:
        self._max_requeues = max_requeues
        self._step = 0

    def due(self, step: int) -> float:
        return inf  # at the end of any group

    def save(self, trainer: pl.Trainer) -> Path | None:
        """Saves the present state; returns the checkpoint."""
        return None

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._step = trainer.global_step
        self._stop_if_asked(trainer)

    def on_train_batch_end(self, trainer: pl.Trainer, *args: Any) -> None:
        accumulating = trainer.global_step == self._step  # gradients; no update was made
        self._step = trainer.global_step
        asking = trainer.world_size == 1 or trainer.global_step % EVERY == 0
        if asking and not accumulating and not validation_follows(trainer):
            self._stop_if_asked(trainer)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.state.fn == "fit":
            self._stop_if_asked(trainer)

    def _stop_if_asked(self, trainer: Any) -> None:
        asked = signals.received()
        if trainer.world_size > 1:
            everyone = torch.tensor(asked, device=trainer.strategy.root_device)
            asked = int(trainer.strategy.reduce(everyone, reduce_op="max"))
        if not asked:
            return
        signum = signal.Signals(signals.ASKING[asked - 1])
        line = f"stopped by {signum.name} at update {trainer.global_step:,}"
        if saved := self.save(trainer):
            line += f"; continue with --resume true (checkpoint: {saved})"
            if slurm.job():
                said = self._requeue(signum) if trainer.is_global_zero else ""
                line += trainer.strategy.broadcast(said)  # nobody ends before that is done
        _wait_for_children(trainer)
        raise Stopped(signum, line)

    def _requeue(self, signum: signal.Signals) -> str:
        going_on = signum.name == "SIGUSR1" or (signum.name == "SIGTERM" and slurm.preempted())
        return f"; {slurm.requeue(self._max_requeues)}" if going_on else ""


def _wait_for_children(trainer: Any) -> None:
    """Waits for the processes that Lightning started, and takes them out of its watch.

    Lightning would kill this process because of their exit status.
    """
    started = getattr(trainer.strategy.launcher, "procs", [])
    children = started[:]
    started.clear()
    for child in children:
        with suppress(TimeoutExpired):
            child.wait(20)

"""SIGTERM, SIGINT and SIGUSR1 end a run between two updates, with everything saved."""

import signal
from contextlib import suppress
from subprocess import TimeoutExpired
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Checkpoint

from lit_makemore.runs import signals, slurm
from lit_makemore.runs.checkpoints import LastCheckpoint
from lit_makemore.runs.signals import Stopped
from lit_makemore.training.lightning_internals import validation_follows

EVERY = 10  # updates between two times that several processes ask each other for a signal


class TakeSigterm(pl.Callback):
    """Puts a handler on SIGTERM in place of Lightning's. Comes before all other callbacks.

    Lightning sets its own when a loop starts, and takes it away at the end. Inside that handler it
    asks the other processes, where they may wait for each other for ever.

    Args:
        handler: as signal.signal takes it.
    """

    def __init__(self, handler: Any) -> None:
        self._handler = handler

    def on_train_start(self, *args: Any) -> None:
        self._take()

    def on_validation_start(self, *args: Any) -> None:
        self._take()

    def on_test_start(self, *args: Any) -> None:
        self._take()

    def on_predict_start(self, *args: Any) -> None:
        self._take()

    def _take(self) -> None:
        with suppress(ValueError):  # only the main thread may set handlers
            signal.signal(signal.SIGTERM, self._handler)


class StopOnSignal(pl.Callback):
    """Saves last.ckpt and raises Stopped after the update during which a noted signal came.

    Several processes stop after the same update, no matter which of them got the signal.
    SLURM warns a job by SIGUSR1 and ends a preempted job by SIGTERM. Such a job is queued again.

    Args:
        last: the callback that saves; None: stop without saving.
        max_requeues: how often a SLURM job is queued again.
    """

    takes_groups = True

    def __init__(self, last: LastCheckpoint | None, max_requeues: int = 0) -> None:
        self._last, self._max_requeues = last, max_requeues
        self._step = 0

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
        if self._last is not None:
            line += f"; continue with --resume true (checkpoint: {self._last.save(trainer)})"
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


class StopAfterCheckpoints(StopOnSignal, Checkpoint):
    """StopOnSignal as a Checkpoint, because Lightning calls checkpoint callbacks last."""

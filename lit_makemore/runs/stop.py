"""SIGTERM, SIGINT and SIGUSR1 end a run between two updates, with everything saved."""

from contextlib import ExitStack, suppress
from signal import Signals
from subprocess import TimeoutExpired
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Checkpoint

from lit_makemore.runs import signals, slurm
from lit_makemore.runs.checkpoints import LastCheckpoint, validation_follows
from lit_makemore.runs.folder import Stopped

EVERY = 10  # updates between two questions of several processes: has anyone a signal?


class StopOnSignal(pl.Callback):
    """Saves last.ckpt and raises Stopped after the update during which a signal came.

    Several processes stop after the same update, whichever of them have the signal by then.
    A SLURM job that was warned by SIGUSR1, or is preempted, is then queued again, and goes on.

    Args:
        last: the callback that saves, or None to stop without.
        max_requeues: how often a SLURM job is queued again.
    """

    def __init__(self, last: LastCheckpoint | None, max_requeues: int = 0) -> None:
        self._last, self._max_requeues = last, max_requeues
        self._listening = ExitStack()

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        self._listening.enter_context(signals.noted(*signals.ASKING))

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        self._listening.close()

    def on_exception(self, *args: Any) -> None:
        self._listening.close()  # after which Lightning calls no teardown

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._stop_if_asked(trainer)

    def on_train_batch_end(self, trainer: pl.Trainer, *args: Any) -> None:
        between = not trainer.fit_loop._should_accumulate()  # two updates
        asking = trainer.world_size == 1 or trainer.global_step % EVERY == 0
        if between and asking and not validation_follows(trainer):
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
        signum = Signals(signals.ASKING[asked - 1])
        line = f"stopped by {signum.name} at update {trainer.global_step:,}"
        if self._last is not None:
            line += f"; --resume true goes on from {self._last.save(trainer)}"
            if slurm.job():
                said = self._requeue(signum) if trainer.is_global_zero else ""
                line += trainer.strategy.broadcast(said)  # nobody ends before that is done
        _wait_for_children(trainer)
        raise Stopped(signum, line)

    def _requeue(self, signum: Signals) -> str:
        going_on = signum.name == "SIGUSR1" or (signum.name == "SIGTERM" and slurm.preempted())
        return f"; {slurm.requeue(self._max_requeues)}" if going_on else ""


def _wait_for_children(trainer: Any) -> None:
    """Lightning's watch over the processes it started would kill this one for their exit status."""
    started = getattr(trainer.strategy.launcher, "procs", [])
    children = started[:]
    started.clear()
    for child in children:
        with suppress(TimeoutExpired):
            child.wait(20)


class StopAfterCheckpoints(StopOnSignal, Checkpoint):
    """The same, called after the checkpoint callbacks: Lightning moves these behind all others."""

"""SIGTERM and SIGINT end a run between two updates, with everything saved."""

import os
import signal
from types import FrameType
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Checkpoint

from lit_makemore.callbacks.checkpoints import LastCheckpoint, validation_follows
from lit_makemore.run import Stopped


class StopOnSignal(pl.Callback):
    """Saves last.ckpt and raises Stopped after the update during which a signal came.

    A second signal ends the process at once; what was saved before is whole.

    Args:
        last: the callback that saves, or None to stop without.
    """

    def __init__(self, last: LastCheckpoint | None) -> None:
        self._last = last
        self._received = 0
        self._before: dict[int, Any] = {}

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        self._install()

    def on_train_start(self, trainer: Any, pl_module: pl.LightningModule) -> None:
        self._install()  # again: Lightning has put its own in front, which ends with status 0
        trainer._signal_connector.received_sigterm = False

    def _install(self) -> None:
        for signum in (signal.SIGTERM, signal.SIGINT):
            try:
                self._before.setdefault(signum, signal.getsignal(signum))
                signal.signal(signum, self._note)
            except ValueError:  # not the main thread, which alone may
                return

    def _note(self, signum: int, frame: FrameType | None) -> None:
        if self._received:
            signal.signal(signum, signal.SIG_DFL)
            os.kill(os.getpid(), signum)
        self._received = signum

    def on_train_batch_end(self, trainer: pl.Trainer, *args: Any) -> None:
        between = not trainer.fit_loop._should_accumulate()  # two updates
        if self._received and between and not validation_follows(trainer):
            self._stop(trainer)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self._received and trainer.state.fn == "fit":
            self._stop(trainer)

    def _stop(self, trainer: pl.Trainer) -> None:
        name, step = signal.Signals(self._received).name, trainer.global_step
        if self._last is None:
            raise Stopped(self._received, f"stopped by {name} at update {step:,}")
        path = self._last.save(trainer)
        raise Stopped(
            self._received,
            f"stopped by {name} at update {step:,}, saved in {path}; go on with --resume true",
        )

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        for signum, handler in self._before.items():
            signal.signal(signum, handler)
        self._before = {}


class StopAfterCheckpoints(StopOnSignal, Checkpoint):
    """The same, called after the checkpoint callbacks: Lightning moves these behind all others."""

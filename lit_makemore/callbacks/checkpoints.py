"""The two checkpoints of a run: the best one and the last one."""

from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import ModelCheckpoint


class BestCheckpoint(ModelCheckpoint):
    """best.ckpt: the weights with the lowest validation loss so far."""

    # how a checkpoint names this callback's state; the base class spells out its arguments
    state_key = "best.ckpt"  # type: ignore[assignment]

    def __init__(self) -> None:
        super().__init__(filename="best", monitor="val/loss", enable_version_counter=False)
        self._validated = 0

    def on_train_batch_end(self, *args: Any) -> None:
        """Nothing: only a validation brings a new loss."""

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        super().on_validation_end(trainer, pl_module)
        self._validated = trainer.global_step

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Validates the last weights, too, where the interval does not divide the run."""
        if self._validated != trainer.global_step and trainer.enable_validation:
            trainer.validating = True
            trainer.fit_loop.epoch_loop.val_loop.run()
            trainer.training = True


class LastCheckpoint(ModelCheckpoint):
    """last.ckpt: the latest state, saved every n updates, at the end and when something breaks.

    Args:
        every_n_steps: updates between two saves.
    """

    state_key = "last.ckpt"  # type: ignore[assignment]

    def __init__(self, every_n_steps: int) -> None:
        super().__init__(
            filename="last",
            every_n_train_steps=every_n_steps,
            save_on_exception=True,
            enable_version_counter=False,
        )
        self.every_n_steps = every_n_steps

    def on_train_batch_end(self, trainer: pl.Trainer, *args: Any) -> None:
        step = trainer.global_step
        if step % self.every_n_steps == 0 and step != self._last_global_step_saved:
            self._save(trainer)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._save(trainer)

    def _save(self, trainer: pl.Trainer) -> None:
        trainer.save_checkpoint(Path(self.dirpath or "") / "last.ckpt")
        self._last_global_step_saved = trainer.global_step

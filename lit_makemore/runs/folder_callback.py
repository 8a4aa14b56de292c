"""Connects a fit with its run folder: checkpoints, curves and configuration go there."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import ModelCheckpoint, SpikeDetection
from lightning.pytorch.loggers import Logger

from lit_makemore.files import write_text
from lit_makemore.runs.checkpoints import BestCheckpoint, LastCheckpoint
from lit_makemore.runs.folder import RunFolder
from lit_makemore.runs.logger import RunLogger, settings_of
from lit_makemore.runs.resume import Resumption, take_over

CHECKPOINTS = "checkpoints"


class FolderCallback(pl.Callback):
    """Opens the run folder on the first process and tells every process where it is.

    Comes before the callbacks that write there.

    Args:
        folder: the run folder.
        config: the configuration, for config.yaml.
        checkpoints: the callbacks whose files go into checkpoints/.
        found: the run that is resumed, if any.
        loggers: makes the user's own loggers, which write into a folder; they join ours.
    """

    def __init__(
        self,
        folder: RunFolder,
        config: str,
        checkpoints: list[BestCheckpoint | LastCheckpoint],
        found: Resumption | None,
        loggers: Callable[[Path], list[Logger]],
    ) -> None:
        self._folder, self._config = folder, config
        self._checkpoints, self._found = checkpoints, found
        self._loggers = loggers

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        path = str(self._folder.open()) if trainer.is_global_zero else ""
        self._folder.path = Path(trainer.strategy.broadcast(path))
        for callback in self._checkpoints:
            callback.dirpath = str(self._folder.path / CHECKPOINTS)
        trainer.loggers = [*trainer.loggers, *self._loggers(self._folder.path)]
        place_into(self._folder.path, trainer)

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """All checks have passed, so old results may now be replaced."""
        if trainer.is_global_zero:
            assert self._folder.path is not None
            if self._found:
                take_over(self._folder.path, self._found)
            write_text(self._folder.path / "config.yaml", self._config)
        for logger in trainer.loggers:
            if isinstance(logger, RunLogger):
                logger.start(pl_module.hparams["n_layer"])
            if trainer.is_global_zero and not (self._found and self._found.step):
                logger.log_hyperparams(settings_of(pl_module, trainer))

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        for logger in trainer.loggers:  # the files must have every point before the checkpoint
            logger.save()


def place_into(folder: Path, trainer: Any) -> None:
    """Parts of Lightning that the user has added write into a folder, unless they have a place.

    Raises:
        ValueError: a file of theirs would be one of ours.
    """
    for callback in trainer.callbacks:
        if isinstance(callback, ModelCheckpoint) and callback.dirpath is None:
            if callback.filename in ("best", "last"):
                raise ValueError(
                    f"{callback.filename}.ckpt is a checkpoint of every run; give the "
                    "ModelCheckpoint another filename"
                )
            callback.dirpath = str(folder / CHECKPOINTS)
        elif isinstance(callback, SpikeDetection) and callback.exclude_batches_path is None:
            callback.exclude_batches_path = str(folder)
    if not trainer.profiler.dirpath:
        trainer.profiler.dirpath = folder

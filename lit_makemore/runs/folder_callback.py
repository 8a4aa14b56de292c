"""Connects a fit with its run folder: checkpoints, curves and configuration go there."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import ModelCheckpoint, SpikeDetection
from lightning.pytorch.loggers import Logger

from lit_makemore.files import write_text
from lit_makemore.runs.folder import RunFolder
from lit_makemore.runs.logger import RunLogger, settings_of
from lit_makemore.runs.resume import Resumption, take_over


class FolderCallback(pl.Callback):
    """Places what writes, as the fit is set up; replaces older results, as it starts.

    Args:
        folder: the run folder.
        config: the configuration, for config.yaml.
        found: the run that is resumed, if any.
        loggers: makes the user's own loggers, which write into a folder; they join ours.
    """

    def __init__(
        self,
        folder: RunFolder,
        config: str,
        found: Resumption | None,
        loggers: Callable[[Path], list[Logger]],
    ) -> None:
        self._folder, self._config, self._found = folder, config, found
        self._loggers = loggers

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        path = self._folder.open_everywhere(trainer)
        trainer.loggers = [*trainer.loggers, *self._loggers(path)]
        place_into(self._folder, trainer)

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """All checks have passed, so old results may now be replaced."""
        if trainer.is_global_zero:
            if self._found:
                take_over(self._folder.checkpoints, self._found)
            write_text(self._folder.checkpoints.parent / "config.yaml", self._config)
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


def place_into(folder: RunFolder, trainer: Any) -> None:
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
            callback.dirpath = str(folder.checkpoints)
        elif isinstance(callback, SpikeDetection) and callback.exclude_batches_path is None:
            callback.exclude_batches_path = str(folder.path)
    if not trainer.profiler.dirpath:
        trainer.profiler.dirpath = folder.path

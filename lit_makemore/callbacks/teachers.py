"""Trains the teachers that are given as configurations, before the fit that learns from them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch

from lit_makemore.callbacks.run_folder import RunFolder
from lit_makemore.data import is_configuration


class Teachers(pl.Callback):
    """Trains each configuration among data.teachers in a run of its own, teachers/1, 2 … in the
    run folder, and puts its last checkpoint in its place: the best one would be chosen by what is
    held out. One that is there already, from a run that was stopped, is not trained again.

    Args:
        folder: knows the run folder.
        train: fits a configuration as the run of this name in this folder, or goes on with it.
    """

    def __init__(self, folder: RunFolder, train: Callable[[str, Path, str], None]) -> None:
        self._folder, self._train = folder, train

    def setup(self, trainer: Any, pl_module: pl.LightningModule, stage: str) -> None:
        if trainer.world_size > 1 and any(map(is_configuration, trainer.datamodule.teachers)):
            raise ValueError(
                "teachers are trained by one process; fit them first, and name their "
                "checkpoints in --data.teachers"
            )

    def on_fit_start(self, trainer: Any, pl_module: pl.LightningModule) -> None:
        teachers = trainer.datamodule.teachers
        for i, teacher in enumerate(teachers):
            if is_configuration(teacher):
                assert self._folder.run is not None
                runs, name = self._folder.run.path / "teachers", str(i + 1)
                with torch.random.fork_rng():
                    self._train(teacher, runs, name)
                teachers[i] = str(runs / name / "checkpoints" / "last.ckpt")

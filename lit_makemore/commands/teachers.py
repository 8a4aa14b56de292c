"""Trains the teachers that are given as configurations, before the fit that learns from them."""

import gc
import json
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch

from lit_makemore.runs.run_folder import RunFolder
from lit_makemore.training.datamodule import is_configuration

SHARED = ("path", "block_size", "split_seed", "lowercase", "strip", "url")


class Teachers(pl.Callback):
    """Trains each configuration among data.teachers in a run of its own, teachers/1, 2 … in the
    run folder, and puts its last checkpoint in its place: the best one would be chosen by what is
    held out. One that is there already, from a run that was stopped, is not trained again.

    Args:
        folder: knows the run folder.
        options: of the run that they teach.
        run: runs a command of `train.py` as given by these arguments.
    """

    def __init__(self, folder: RunFolder, options: Any, run: Callable[[list[str]], None]) -> None:
        self._folder, self._options, self._run = folder, options, run

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
                with torch.random.fork_rng():
                    run = self._train(teacher, self._folder.run.path / "teachers", i + 1)
                teachers[i] = str(run / "checkpoints" / "last.ckpt")
                gc.unfreeze()  # else its Trainer and its words would stay
                gc.collect()
                gc.freeze()

    def _train(self, teacher: str, runs: Path, number: int) -> Path:
        """Fits a configuration on this run's words, or goes on with it, and says so."""
        ours = self._options
        options = {
            "config": teacher,
            "runs_dir": runs,
            "name": number,
            "resume": "auto",
            "resume_override": ours.resume_override,
            "max_requeues": ours.max_requeues,
            "seed_everything": (1000 * ours.seed_everything + number) % 2**32,
            "trainer.accelerator": ours.trainer.accelerator,
            "trainer.devices": ours.trainer.devices,
            "trainer.num_nodes": 1,
            "trainer.strategy": "auto",
            "trainer.enable_checkpointing": "true",
            "model.fused": ours.model.fused,
            "diagnostics.enabled": "false",
            **{f"data.{key}": ours.data[key] for key in SHARED},
            "data.splits": list(ours.data.splits),
            "data.teachers": "[]",
        }
        if ours.threads is not None:
            options["threads"] = ours.threads
        unwanted = [key for key in ("enable_progress_bar", "logger") if ours.trainer[key] is False]
        options |= {f"trainer.{key}": "false" for key in unwanted}
        print(f"teacher {number}: {teacher}", file=sys.stderr)
        try:
            with redirect_stdout(StringIO()):
                self._run(["fit", *(f"--{key}={value}" for key, value in options.items())])
        except (ValueError, OSError) as error:
            raise ValueError(f"{teacher}: {error}") from error
        run = runs / str(number)
        reached = json.loads((run / "summary.json").read_text())["final"]["val_loss"]
        print(f"teacher {number}: val {reached:.4f}", file=sys.stderr)
        return run

"""The run's own logger, for TensorBoard; what all loggers are told of a run, and their end."""

import os
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from time import time
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from lightning.pytorch.loggers import Logger, WandbLogger
from tensorboard.summary.writer import event_file_writer
from torch.utils.tensorboard.summary import hparams as hparams_summaries

from lit_makemore.diagnostics.tensorboard import LAYOUT, CardLogger
from lit_makemore.runs.folder import RunFolder


class RunLogger(CardLogger):
    """Writes event files into the run folder itself, and no hparams.yaml.

    From `start` on: a fit that is refused must not touch the curves of its run. What was logged
    from purge_step on, before a resume, is hidden.
    """

    def __init__(
        self, folder: RunFolder, purge_step: Any = None, all_figures: bool = False
    ) -> None:
        super().__init__("", name="", version="", default_hp_metric=False, purge_step=purge_step)
        self._folder, self._started, self.all_figures = folder, False, all_figures

    def start(self, n_layer: int) -> None:
        self._started, self.n_layer = True, n_layer

    @property
    def experiment(self) -> Any:
        """The SummaryWriter on the first process; None before `start`.

        TensorBoard reads event files by the times in their names: a resumed run has a later one.
        """
        if not self._started or self._experiment is not None:
            return self._experiment
        before = " ".join(path.name for path in Path(self.log_dir).glob("events.out.tfevents.*"))
        times = map(int, re.findall(r"tfevents\.(\d{1,11})\.", before))
        later = max([time(), *(1 + begun for begun in times)])
        with patch.object(event_file_writer, "time", SimpleNamespace(time=lambda: later)):
            return super().experiment

    @property
    def save_dir(self) -> str:
        return str(self._folder.path or "")  # the Trainer's profiler asks before it is opened

    root_dir = log_dir = save_dir

    def save(self) -> None:
        if self._started:
            self.experiment.flush()

    def finalize(self, status: str) -> None:
        self.save()  # it stays open: the losses of the best weights come after the fit

    def log_hyperparams(self, params: Any, metrics: Any = None, step: int | None = None) -> None:
        """Enters the run in the HParams page, and lays out the Custom Scalars page."""
        for summary in hparams_summaries(params, {})[1:]:
            self.experiment.file_writer.add_summary(summary)
        self.experiment.add_custom_scalars(LAYOUT)


def settings_of(module: Any, trainer: Any) -> dict[str, Any]:
    """What tells a run of LitMLP from others, as a flat table of plain values."""
    data, settings = trainer.datamodule, dict(module.hparams)
    del settings["chars"]
    settings |= {f"init.{key}": value for key, value in settings.pop("init").items()} | {
        "targets": data.targets,
        "seed": data.generator.initial_seed(),
        "steps": trainer.max_steps,
        "precision": trainer.precision,
        # Python in an ASCII locale keeps other bytes as surrogates; TensorBoard takes UTF-8
        "words": os.fsencode(Path(data.path).name).decode(errors="replace"),
        "batch_size": data.batch_size,
    }
    return {k: v if isinstance(v, int | float | str) else str(v) for k, v in settings.items()}


def close(loggers: Iterable[Logger]) -> None:
    """Ends what they write: the next run of this process has loggers of its own."""
    for logger in loggers:
        if isinstance(logger, RunLogger) and logger._experiment is not None:
            logger._experiment.close()
        elif isinstance(logger, WandbLogger) and logger._experiment is not None:
            logger.experiment.finish(exit_code=int(sys.exc_info()[0] is not None))

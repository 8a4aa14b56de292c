"""The loggers of a run: our own for TensorBoard, and those that the user adds."""

import csv
import os
import sys
from collections.abc import Iterable
from functools import partial
from io import StringIO
from pathlib import Path
from time import time
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from lightning.pytorch.loggers import Logger, MLFlowLogger, TensorBoardLogger, WandbLogger
from lightning.pytorch.loggers.csv_logs import ExperimentWriter
from tensorboard.summary.writer import event_file_writer
from torch.utils.tensorboard.summary import hparams as hparams_summaries

from lit_makemore.diagnostics.tensorboard import LAYOUT, CardLogger
from lit_makemore.files import write_text
from lit_makemore.runs.folder import RunFolder
from lit_makemore.runs.resume import Resumption


class RunLogger(CardLogger):
    """Writes event files into the run folder itself, and no hparams.yaml: config.yaml has the same.

    It writes from `start` on (a fit that is refused must not touch the curves of its run) until
    `close`.

    Args:
        folder: the run folder, which may be opened later.
        purge_step: hides what was logged from this step on, before a resume.
        all_figures: whether to show the details too.
    """

    def __init__(
        self, folder: RunFolder, purge_step: int | None = None, all_figures: bool = False
    ) -> None:
        super().__init__("", name="", version="", default_hp_metric=False, purge_step=purge_step)
        self._folder, self.all_figures = folder, all_figures
        self._started = False

    def start(self, n_layer: int) -> None:
        """From here on it writes, about a network of n_layer hidden layers."""
        self._started, self.n_layer = True, n_layer

    @property
    def experiment(self) -> Any:
        """The SummaryWriter on the first process; None before `start`.

        TensorBoard reads event files in the order of their names, which begin with a time. So the
        file of a resumed run has a later time than those before it, whatever the clock says.
        """
        if not self._started:
            return None
        if self._experiment is not None:
            return super().experiment
        before = Path(self.log_dir).glob("events.out.tfevents.*")
        times = (path.name.split(".")[3] for path in before)
        later = max([time(), *(int(t) + 1 for t in times if t.isdecimal() and len(t) < 12)])
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
        """Stays open: the losses of the best weights come after the fit."""
        self.save()

    def close(self) -> None:
        if self._experiment is not None:
            self._experiment.close()

    def log_hyperparams(self, params: Any, metrics: Any = None, step: int | None = None) -> None:
        """Enters the run in the HParams page, and lays out the Custom Scalars page.

        TensorBoard's page opens with what differs between runs, as none describes an experiment.
        """
        _, *session = hparams_summaries(params, {})
        for summary in session:
            self.experiment.file_writer.add_summary(summary)
        self.experiment.add_custom_scalars(LAYOUT)


def settings_of(module: Any, trainer: Any) -> dict[str, Any]:
    """What tells a run of LitMLP from others, as a flat table of plain values."""
    data, settings = trainer.datamodule, dict(module.hparams)
    del settings["chars"]
    settings |= {f"init.{key}": value for key, value in settings.pop("init").items()}
    settings |= {
        "targets": data.targets,
        "seed": data.generator.initial_seed(),
        "steps": trainer.max_steps,
        "precision": trainer.precision,
        # Python in an ASCII locale keeps other bytes as surrogates; TensorBoard takes UTF-8
        "words": os.fsencode(Path(data.path).name).decode(errors="replace"),
        "batch_size": data.batch_size,
    }
    return {k: v if isinstance(v, int | float | str) else str(v) for k, v in settings.items()}


def added(
    makers: Iterable[partial[Logger]], folder: Path, found: Resumption | None
) -> list[Logger]:
    """The user's loggers, which write into the folder, unless they were given a place.

    In a run that is resumed each goes on with what it wrote before.
    """
    loggers, before = [], list(found.loggers) if found else []
    for make in makers:
        kind, given, more = make.func, make.keywords, dict[str, Any]()
        name = "run_id" if kind is MLFlowLogger else "version"
        if mine := [one for one in before if one[0] == kind.__name__][:1]:
            before.remove(mine[0])
            if given.get(name, "") is None:
                more[name] = mine[0][1]
        if kind is TensorBoardLogger and found:
            more["purge_step"] = found.purge_step
        if given.get("save_dir") == "":
            more["save_dir"] = folder
            if kind is MLFlowLogger and not given["tracking_uri"]:  # it refuses to use a folder
                more["tracking_uri"] = f"sqlite:///{folder.resolve()}/mlflow.db"
        loggers.append(make(**more))
    return loggers


def versions(loggers: Iterable[Logger]) -> list[tuple[str, Any]]:
    """For a checkpoint: what `added` needs of the user's loggers."""
    theirs = (one for one in loggers if not isinstance(one, RunLogger))
    return [(type(one).__name__, one.version) for one in theirs]


def keep_rows(logger: Any, found: Resumption | None) -> None:
    """Keeps the rows of a CSVLogger before the checkpoint: Lightning would delete its file.

    ValueError if they are those of another run.
    """
    path = Path(logger.log_dir, ExperimentWriter.NAME_METRICS_FILE)
    if not path.exists():
        return
    if not found or (found.step and ("CSVLogger", logger.version) not in found.loggers):
        raise ValueError(f"{path} has the figures of another run; choose another version")
    rows, text = csv.DictReader(path.read_text("utf-8").splitlines()), StringIO()
    table = csv.DictWriter(text, rows.fieldnames or ())
    table.writeheader()
    whole = (row for row in rows if (row.get("step") or "").isdigit())  # a kill may cut a row
    table.writerows(row for row in whole if int(row["step"]) < found.purge_step)
    write_text(path, text.getvalue())
    with patch.object(ExperimentWriter, "_check_log_dir_exists"):  # which deletes it
        logger.experiment.metrics_keys = [*table.fieldnames]


def close(loggers: Iterable[Logger]) -> None:
    """Ends what they write: the next run of this process has loggers of its own."""
    for logger in loggers:
        if isinstance(logger, RunLogger):
            logger.close()
        elif isinstance(logger, WandbLogger) and logger._experiment is not None:
            logger.experiment.finish(exit_code=int(sys.exc_info()[0] is not None))

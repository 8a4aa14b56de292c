"""The loggers of a run, ours and the user's, through a resume."""

import csv
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from struct import unpack
from types import SimpleNamespace
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from lit_makemore.cli import main
from lit_makemore.runs.logger import RunLogger, close

LOGGERS = "lightning.pytorch.loggers"


@pytest.mark.parametrize("odd", ["x", "", f"1{199 * '0'}.x"])
def test_the_events_of_a_resumed_run_come_last_whatever_the_clock_says(tmp_path, monkeypatch, odd):
    """A file with a name of events and no time is passed by."""
    (tmp_path / f"events.out.tfevents.{odd}").touch()
    names: list[str] = []
    for now in (3_000, 3_000, 2_000):  # a run, one of the same second, and on a clock behind
        monkeypatch.setattr("lit_makemore.runs.logger.time", lambda now=now: now)
        logger = RunLogger(SimpleNamespace(path=tmp_path))
        logger.start(1)
        logger.log_metrics({"train/loss": 1.0}, step=1)
        close([logger])
        names += {path.name for path in tmp_path.glob("*.[0-9]*.*.*.*")} - {*names}
    assert len(names) == 3
    assert names == sorted(names)


@pytest.fixture
def fit(tmp_path, word_list):
    """`fit(steps, *options)`: the status of a run with so many updates."""
    usual = f"--data.path {word_list} --data.batch_size 16 --model.n_hidden 8 --model.n_layer 1"
    usual += " --threads 1 --diagnostics.every_n_steps 10 --diagnostics.pictures false"
    usual += " --trainer.accelerator cpu --trainer.enable_progress_bar false"
    usual += f" --trainer.val_check_interval 10 --trainer.log_every_n_steps 5 --runs_dir {tmp_path}"

    def run(steps: int, *more: str) -> int:
        usually = [*usual.split(), "--name", "run", "--trainer.max_steps", str(steps)]
        return main(["fit", *usually, *more])

    return run


Points = dict[str, list[int]]  # the steps of each figure


def points_of_csv(run: Path) -> Points:
    (path,) = run.rglob("metrics.csv")
    assert "batch_size: 16" in path.with_name("hparams.yaml").read_text()
    rows = list(csv.DictReader(path.read_text().splitlines()))
    return {key: [int(row["step"]) for row in rows if row[key]] for key in rows[0]}


def points_of_tensorboard(run: Path) -> Points:
    (folder,) = run.glob("lightning_logs/*")
    events = EventAccumulator(str(folder)).Reload()
    return {key: [e.step for e in events.Scalars(key)] for key in events.Tags()["scalars"]}


def points_of_mlflow(run: Path) -> Points:
    client = sys.modules["mlflow"].MlflowClient(f"sqlite:///{run}/mlflow.db")
    experiments = [one.experiment_id for one in client.search_experiments()]
    (one,) = client.search_runs(experiments)
    assert one.info.status == "FINISHED"
    assert one.data.params["batch_size"] == "16"
    history = {key: client.get_metric_history(one.info.run_id, key) for key in one.data.metrics}
    steps = {key: [point.step for point in found] for key, found in history.items()}
    steps["best/val"].remove(21)  # that of the first half stays
    return steps


def wandb_records(data: bytes) -> Iterator[Any]:
    """W&B's file is a log of LevelDB: blocks of 32 KiB with parts of records."""
    from wandb.proto.wandb_internal_pb2 import Record

    at, parts = 7, b""
    while at + 7 <= len(data):
        if 32768 - at % 32768 < 7:  # the rest of a block is empty
            at += 32768 - at % 32768
        length, kind = unpack("<HB", data[at + 4 : at + 7])
        parts += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # a whole record, or the last part of one
            yield Record.FromString(parts)
            parts = b""


def points_of_wandb(run: Path) -> Points:
    points: Points = {}
    files = sorted(run.glob("wandb/offline-run-*/*.wandb"))
    assert len({file.name for file in files}) == 1  # `wandb sync` takes them for one run
    for file in files:
        for record in wandb_records(file.read_bytes()):
            items = {item.key or item.nested_key[0]: item for item in record.history.item}
            for key in items.keys() - {"trainer/global_step"}:
                step = json.loads(items["trainer/global_step"].value_json)
                points.setdefault(key, []).append(step)
    points["best/val"].remove(21)
    return points


@pytest.mark.parametrize(
    ("name", "more", "points"),
    [
        ("CSVLogger", [], points_of_csv),
        ("CSVLogger", ["--trainer.logger.version", "1"], points_of_csv),
        ("TensorBoardLogger", [], points_of_tensorboard),
        ("TensorBoardLogger", ["--trainer.logger.version", "1"], points_of_tensorboard),
        pytest.param("MLFlowLogger", [], points_of_mlflow, marks=pytest.mark.slow),
        pytest.param(
            "WandbLogger", ["--trainer.logger.offline", "true"], points_of_wandb,
            marks=pytest.mark.slow,
        ),
    ],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore")  # what MLflow and W&B warn of themselves
def test_a_logger_goes_on_where_its_run_goes_on(fit, tmp_path, name, more, points, monkeypatch):
    """All figures of both halves are there once, also those that come at the end."""
    if package := {"MLFlowLogger": "mlflow", "WandbLogger": "wandb"}.get(name):
        pytest.importorskip(package)
        monkeypatch.setenv("WANDB_SILENT", "true")
    more = [f"--trainer.logger+={LOGGERS}.{name}", *more]
    assert fit(20, *more) == 0
    assert fit(40, *more, "--resume", "true") == 0
    found = points(tmp_path / "run")
    assert found["train/loss"] == [5, 10, 15, 20, 25, 30, 35, 40]
    assert found["val/loss"] == [10, 20, 30, 40]
    assert found["best/val"] == [41]
    assert {10, 20, 30, 40} <= {*found["activation_std/hidden1/tanh"]}


def test_figures_of_another_run_are_not_deleted(fit, tmp_path, capsys):
    csv_logger = [f"--trainer.logger+={LOGGERS}.CSVLogger", "--trainer.logger.version", "1"]
    more = [*csv_logger, "--trainer.logger.save_dir", str(tmp_path / "csv")]
    assert fit(10, *more) == 0
    (path,) = tmp_path.rglob("metrics.csv")
    before = path.read_bytes()
    assert fit(10, *more, "--name", "other") == 1
    assert "has the figures of another run; choose another version" in capsys.readouterr().err
    assert path.read_bytes() == before
    assert not (tmp_path / "other").exists()

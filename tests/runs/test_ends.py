"""A run knows whether it is finished, however it ended."""

import json
from pathlib import Path

import pytest

from lit_makemore.cli import main
from tests.same_run import differences

STOPPING = ["--trainer.callbacks+=EarlyStopping", "--trainer.callbacks.monitor=train/loss"]
STOPPING += ["--trainer.callbacks.min_delta=0.5", "--trainer.max_steps=100"]
ENDS = {  # options of a run that ends, what the line says, options with which it goes on
    "max_steps": (["--trainer.max_steps=20"], "--trainer.max_steps", ["--trainer.max_steps=30"]),
    "max_epochs": (["--trainer.max_epochs=2"], "--trainer.max_epochs", ["--trainer.max_epochs=3"]),
    "max_time": (
        ["--trainer.max_time=00:00:00:01"],
        "--trainer.max_time",
        ["--trainer.max_time=00:00:00:02"],
    ),
    "early stopping": (
        [*STOPPING, "--trainer.callbacks.patience=2"],
        "--trainer.max_steps or the patience of a callback",
        [*STOPPING, "--trainer.callbacks.patience=4"],
    ),
}  # fmt: skip


@pytest.fixture
def fit(tmp_path, word_list):
    usual = f"--data.path {word_list} --data.batch_size 16 --model.n_hidden 8 --model.n_layer 1"
    usual += " --threads 1 --model.schedule step --trainer.enable_progress_bar false"
    usual += f" --trainer.val_check_interval 10 --trainer.accelerator cpu --runs_dir {tmp_path}"
    usual += " --trainer.log_every_n_steps 5"

    def run(*more: str, name: str = "run") -> int:
        arguments = ["fit", *usual.split(), "--name", name, "--diagnostics.pictures=false"]
        return main([*arguments, *more])

    return run


def contents(run: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}


def updates(run: Path) -> int:
    return json.loads((run / "summary.json").read_text())["steps"]


@pytest.mark.parametrize(
    "end", [pytest.param(end, marks=pytest.mark.slow if end == "max_time" else ()) for end in ENDS]
)
def test_a_run_that_has_ended_is_finished_and_goes_on_with_more(fit, tmp_path, capsys, end):
    options, larger, more = ENDS[end]
    run = tmp_path / "run"
    assert fit(*options, "--diagnostics.enabled=false") == 0
    before, ended = contents(run), updates(run)
    said = f"already finished (update {ended:,}); to train longer, set a larger {larger}"
    for _ in range(2):
        assert fit(*options, "--diagnostics.enabled=false", "--resume", "true") == 0
        assert said in capsys.readouterr().err
        assert contents(run) == before
    assert fit(*more, "--diagnostics.enabled=false", "--resume", "true") == 0
    assert updates(run) > ended


@pytest.mark.slow
def test_a_larger_patience_goes_on_as_if_it_had_been_so_from_the_start(fit, tmp_path):
    short, _, long = ENDS["early stopping"]
    assert fit(*short) == 0
    assert updates(tmp_path / "run") == 30
    assert fit(*long, "--resume", "true") == 0
    assert fit(*long, name="whole") == 0
    assert updates(tmp_path / "whole") == 50
    assert differences(tmp_path / "run", tmp_path / "whole") == []


def test_what_fail_on_has_stopped_stays_stopped_until_it_is_changed(fit, tmp_path, capsys):
    sick = ["--trainer.max_steps=60", "--diagnostics.fail_on=loss", "--diagnostics.bands.loss=-3"]
    assert fit(*sick) == 1
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert "stopped by diagnostics.fail_on at update 50: loss" in said
    before = contents(tmp_path / "run")
    assert fit(*sick, "--resume", "true") == 1
    again = capsys.readouterr().err.strip().splitlines()[-1]
    assert again == f"{said}; to go on, change --diagnostics.fail_on"
    assert contents(tmp_path / "run") == before
    assert fit(*sick, "--resume", "true", "--diagnostics.fail_on=nan") == 0
    assert updates(tmp_path / "run") == 60
    assert not (tmp_path / "run" / "failed.txt").exists()

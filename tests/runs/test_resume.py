"""A run that was stopped and goes on ends as one that was never stopped, bit for bit."""

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
import torch
import yaml

from lit_makemore.cli import main
from lit_makemore.runs import resume
from lit_makemore.runs.checkpoints import Checkpoints
from lit_makemore.training.module import LitMLP
from tests.conftest import ROOT
from tests.same_run import differences, same

CONFIG = {
    "data": {"batch_size": 16, "sampling": "shuffled"},
    "model": {"n_hidden": 10, "n_layer": 2, "optimizer": "adamw", "lr": 0.01},
    "trainer": {"max_steps": 90, "val_check_interval": 20, "log_every_n_steps": 8},
    "diagnostics": {"every_n_steps": 13, "pictures": False},
    "threads": 1,
}


@pytest.fixture
def command(tmp_path, word_list, monkeypatch):
    """Arguments of a small fit; more go after them."""
    monkeypatch.setattr("lit_makemore.commands.fit.SAVE_EVERY_N_STEPS", 30)
    monkeypatch.setattr("lit_makemore.commands.fit.SAVE_SECONDS", 0.0)
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.dump({**CONFIG, "data": {**CONFIG["data"], "path": str(word_list)}}))
    usual = ["fit", "--config", str(path), "--trainer.accelerator", "cpu"]

    def arguments(name: str, *more: str) -> list[str]:
        return [*usual, "--runs_dir", str(tmp_path / "runs"), "--name", name, *more]

    return arguments


@pytest.fixture
def stopping(monkeypatch):
    """Makes the fit fail in the hook of a callback, or be told to stop, at an update."""

    def at(step: int, how: str) -> None:
        hook = Checkpoints.on_train_batch_end
        done = []

        def stop(self, trainer, *args):
            if trainer.global_step >= step and not done:
                done.append(True)
                if how == "exception":
                    raise RuntimeError
                os.kill(os.getpid(), signal.SIGTERM)
            hook(self, trainer, *args)

        monkeypatch.setattr(Checkpoints, "on_train_batch_end", stop)

    return at


@pytest.fixture
def parts(tmp_path) -> Path:
    """The folder of the run that is stopped."""
    return tmp_path / "runs" / "parts"


def state(folder: Path) -> dict:
    return torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)


@pytest.fixture(scope="session")
def wholes(tmp_path_factory) -> dict[tuple[str, ...], Path]:
    return {(): tmp_path_factory.mktemp("whole")}


@pytest.fixture
def assert_whole(command, wholes, word_list):
    """Compares runs/parts with a run that was never stopped, trained once for each options."""

    def compare(parts: Path, *more: str) -> None:
        folder, key = wholes[()], (*more, "")
        if key not in wholes:
            wholes[key] = folder / str(len(wholes))
            where = ["--runs_dir", str(folder), "--name", wholes[key].name]
            assert main(command("", *more, *where)) == 0
        assert differences(parts, wholes[key]) == []
        a, b = (json.loads((run / "summary.json").read_text()) for run in (parts, wholes[key]))
        for key in ("train_loss", "val_loss", "test_loss", "final", "health", "steps"):
            assert a[key] == b[key], key

    return compare


@pytest.mark.parametrize("engine", [pytest.param("autograd", marks=pytest.mark.slow), "native"])
@pytest.mark.parametrize(
    ("how", "step", "mixed"),  # with dropout, whose masks go on, and with counts
    [
        ("exception", 17, False),  # before anything was saved but the start
        ("signal", 39, True),  # in the middle of a group that ends at a validation
        pytest.param("signal", 60, False, marks=pytest.mark.slow),  # validation and save follow
        pytest.param("exception", 75, False, marks=pytest.mark.slow),
        pytest.param("signal", 40, False, marks=pytest.mark.slow),  # a validation follows
        pytest.param("signal", 26, False, marks=pytest.mark.slow),  # a probed update
    ],
)
def test_a_stopped_run_ends_as_one_that_was_not(
    command, stopping, parts, assert_whole, how, step, mixed, engine
):
    more = ["--model.engine", engine]
    more += ["--model.dropout", "0.3", "--model.count_mixture", "true"] if mixed else []
    stopping(step, how)
    assert main(command("parts", *more)) == (143 if how == "signal" else 1)
    assert how == "exception" or state(parts)["global_step"] >= step
    assert not (parts / "summary.json").exists()
    assert main(command("parts", *more, "--resume", "true")) == 0
    assert_whole(parts, *more)


@pytest.mark.parametrize("stop", [35, 125], ids=["in a teacher", "in the student"])
@pytest.mark.slow
def test_a_student_goes_on_and_so_do_its_teachers(
    command, tmp_path, parts, capsys, stop, sigterm_after
):
    config = {"data": {"batch_size": 16}, "trainer": {"max_steps": 40, "log_every_n_steps": 1}}
    config["model"] = {"n_hidden": 12, "n_layer": 1, "dropout": 0.1}
    teacher = tmp_path / "teacher.yaml"
    teacher.write_text(yaml.dump(config))
    more = ["--data.targets", "teacher", "--data.teachers", f"[{teacher}, {teacher}]"]
    more += ["--trainer.log_every_n_steps", "1"]  # no groups
    assert main(command("whole", *more)) == 0
    updates = sigterm_after(stop)
    assert main(command("parts", *more)) == 143
    said = capsys.readouterr().err
    assert "teacher 1" in said
    assert "nothing to resume" not in said
    teachers = stop == 35
    assert ("continue the whole run with" in said) == teachers
    assert f"--resume {parts}{'' if teachers else ' (checkpoint'}" in said
    assert main(command("parts", *more, "--resume", "true")) == 0
    assert len(updates) == 40 + 40 + 90
    whole = parts.with_name("whole")
    assert differences(parts, whole) == []
    for number in "12":
        a, b = (state(run / "teachers" / number) for run in (parts, whole))
        assert same(a["state_dict"], b["state_dict"])


KILLED_WHILE_SAVING = """
import os, signal, sys
from lit_makemore.cli import main
saves, fsync = 0, os.fsync
def dying(descriptor):
    global saves
    saves += os.readlink(f"/proc/self/fd/{descriptor}").count(".ckpt.")
    if saves == 4:
        os.truncate(descriptor, 2000)  # as far as the disk had come
        os.kill(os.getpid(), signal.SIGKILL)
    fsync(descriptor)
os.fsync = dying
main(sys.argv[1:])
"""


@pytest.mark.slow
def test_a_kill_during_a_save_leaves_the_checkpoint_before_it(command, parts, assert_whole):
    more = ["--model.engine", "autograd"]
    settings = command("parts", *more)
    killed = subprocess.run([sys.executable, "-c", KILLED_WHILE_SAVING, *settings], cwd=ROOT)
    assert killed.returncode == -signal.SIGKILL
    assert len(list((parts / "checkpoints").glob(".*.tmp"))) == 1
    assert state(parts)["global_step"] < 90
    assert main(command("parts", *more, "--resume", "auto")) == 0
    assert_whole(parts, *more)
    assert not list((parts / "checkpoints").glob(".*.tmp"))


def test_without_a_run_auto_starts_one_and_true_is_an_error(command, capsys):
    assert main(command("new", "--resume", "true")) == 1
    assert "there is no run new in" in capsys.readouterr().err
    assert main(command("new", "--resume", "auto", "--trainer.max_steps", "5")) == 0
    assert "nothing to resume: starting a new run" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("step", "said", "left"),  # stopped before the first validation there is no best.ckpt
    [
        (14, "no complete checkpoint in", b"cut"),
        pytest.param(14, "no complete checkpoint in", None, marks=pytest.mark.slow),
        (55, "falling back to best.ckpt", b""),
        pytest.param(55, "falling back to best.ckpt", b"cut", marks=pytest.mark.slow),
    ],
)
def test_auto_goes_on_from_the_newest_whole_checkpoint_or_begins_again(
    command, stopping, parts, capsys, assert_whole, step, said, left
):
    """In the same folder; TensorBoard shows nothing of the first attempt."""
    stopping(step, "signal")
    assert main(command("parts")) == 143
    last = parts / "checkpoints" / "last.ckpt"
    if left is None:
        shutil.rmtree(last.parent)
    else:
        last.write_bytes(left and last.read_bytes()[:2000])
        assert main(command("parts", "--resume", "true")) == 1
        assert "is incomplete or damaged" in capsys.readouterr().err
    assert main(command("parts", "--resume", "auto")) == 0
    assert said in capsys.readouterr().err
    assert_whole(parts)


@pytest.mark.slow
def test_going_on_from_an_older_checkpoint_forgets_the_newer_one(command, stopping, tmp_path):
    runs = tmp_path / "runs"
    assert main(command("run")) == 0
    older = tmp_path / "older.ckpt"
    (runs / "run" / "checkpoints" / "last.ckpt").rename(older)
    stopping(35, "signal")
    assert main(command("other")) == 143
    checkpoints = runs / "other" / "checkpoints"
    at_35 = (checkpoints / "last.ckpt").read_bytes()
    (checkpoints / "last.ckpt").rename(checkpoints / "mine.ckpt")
    older.rename(checkpoints / "last.ckpt")
    stopping(1, "exception")  # before this branch saves for the first time
    assert main(command("other", "--resume", str(checkpoints / "mine.ckpt"))) == 1
    assert (checkpoints / "last.ckpt").read_bytes() == at_35


def test_the_run_that_began_last_is_found_also_if_its_name_is_like_a_pattern(tmp_path):
    """Not the one with the largest number: a job's number is none of these."""
    for age, name in enumerate(("my[1]", "my[1]-5000", "my[1]-2", "my[1]-x")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.yaml").touch()
        os.utime(tmp_path / name / "config.yaml", (age, age))
    with pytest.raises(FileNotFoundError, match=r"my\[1\]-2/checkpoints/last.ckpt"):
        resume.find("true", tmp_path, None, "my[1]")
    for name in ("my1", "m", "my["):
        with pytest.raises(FileNotFoundError, match="no run"):
            resume.find("true", tmp_path, None, name)


def test_a_native_run_goes_on_with_autograd_steps_where_native_ones_do_not_go(command, stopping):
    stopping(35, "signal")
    assert main(command("run", "--model.engine", "native")) == 143
    more = ["--trainer.accumulate_grad_batches", "2", "--resume_override", "true"]
    assert main(command("run", "--model.engine", "auto", *more, "--resume", "true")) == 0


def test_a_stopped_run_goes_on_with_what_it_was_trained_with(
    command, stopping, tmp_path, word_list, capsys
):
    stopping(35, "signal")
    assert main(command("run")) == 143
    run, alone = tmp_path / "runs" / "run", tmp_path / "elsewhere" / "alone.ckpt"

    def refused(*options: str) -> str:
        capsys.readouterr()
        assert main(command("run", "--resume", *options)) == 1
        return capsys.readouterr().err.strip().splitlines()[-1]

    changed = ["--model.lr", "0.02", "--data.batch_size", "20", "--trainer.log_every_n_steps", "4"]
    error = refused("true", *changed, "--threads", "2")
    assert "data.batch_size: 16 -> 20; model.lr: 0.01 -> 0.02; threads: 1 -> 2; to use" in error
    with (run / ".lock").open() as other:  # that a lock dies with its process: test_folder.py
        fcntl.flock(other, fcntl.LOCK_EX)
        assert "in use by another process" in refused("true")
    alone.parent.mkdir()
    alone.write_bytes((run / "checkpoints" / "last.ckpt").read_bytes())
    assert "cannot be continued without its run folder" in refused(str(alone), "--name", "new")
    assert not (tmp_path / "runs" / "new").exists()
    words = word_list.read_text()
    word_list.write_text(words.replace("anton", "noant"))
    assert "are not those that the run was trained on" in refused("true")
    word_list.write_text(words)
    override = ["--resume_override", "true", "--trainer.max_steps", "60"]
    assert main(command("run", "--resume", "true", "--model.lr", "0.02", *override)) == 0
    assert "changed from here on: model.lr: 0.01 -> 0.02" in capsys.readouterr().err
    config = ["--config", str(run / "config.yaml"), "--trainer.max_steps", "90"]
    assert main(["fit", *config, "--resume", str(run)]) == 0
    assert state(run)["global_step"] == 90


@pytest.mark.parametrize("text", [b"", b"- a", b"a: 1", b"trainer: 1", b"\xff", b"a: [", b"a"])
def test_a_damaged_configuration_is_named(tmp_path, text):
    (tmp_path / "config.yaml").write_bytes(text)
    found = resume.Resumption(tmp_path)
    for check in (resume.finished, partial(resume.check, override=True)):
        with pytest.raises(ValueError, match=f"{tmp_path}/config.yaml is damaged; restore it"):
            check(found, "a: 1")


def test_a_nan_stops_the_run_and_keeps_the_state_before_it(command, tmp_path, capsys, monkeypatch):
    lr_at = LitMLP.lr_at
    monkeypatch.setattr(LitMLP, "lr_at", lambda self, i: torch.nan if i == 59 else lr_at(self, i))
    assert main(command("run", "--trainer.limit_val_batches", "0")) == 1
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert "the loss is nan at update 64; these are not finite either" in error
    assert "parameter hidden1/linear/weight" in error
    assert "Try a lower model.lr" in error
    entries = state(tmp_path / "runs" / "run")
    assert entries["global_step"] == 30  # not 60, when it was broken
    weights = [t for name, t in entries["state_dict"].items() if name.startswith("model.net.")]
    assert all(t.isfinite().all() for t in weights)


def test_what_is_listed_as_harmless_is_no_difference():
    before = {"model": {"schedule": "step"}, "runs_dir": "a", "trainer": {"max_steps": 5}}
    now = {"model": {"schedule": "step"}, "runs_dir": "b", "trainer": {"max_steps": 9}}
    assert resume.differences(before, now) == []
    for config in (before, now):
        config["model"]["schedule"] = "one_cycle"  # which depends on the length
    assert resume.differences(before, now) == ["trainer.max_steps: 5 -> 9"]

"""`sweep` from the command line: results, bad input, kills, several workers, an array on SLURM."""

import csv
import json
import os
import random
import shlex
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
import torch
import yaml

from lit_makemore import model as checkpoint
from lit_makemore.cli import main
from lit_makemore.commands.compare import all_below
from tests.benchmarks.reliability import small_disk
from tests.conftest import ROOT
from tests.slurm_cluster import training, until


@pytest.fixture
def describe(tmp_path, word_list):
    """Writes the file of a sweep over 30 words; more keys replace what it has."""

    def describe(steps: int = 20, **more) -> Path:
        config = {
            "data": {"path": str(word_list), "batch_size": 16},
            "model": {"n_hidden": 20, "n_layer": 2, "engine": "autograd"},
            "trainer": {"max_steps": steps, "log_every_n_steps": 10, "accelerator": "cpu"},
            "diagnostics": {"enabled": False},
            "threads": 1,
        }
        (tmp_path / "tiny.yaml").write_text(yaml.dump(config))
        described = {"config": str(tmp_path / "tiny.yaml"), "space": {"model.lr": [0.1, 0.2]}}
        path = tmp_path / "s.yaml"
        path.write_text(yaml.dump({**described, **more}))
        return path

    return describe


def command(path: Path, *more: str) -> list[str]:
    return ["sweep", "--config", str(path), "--runs_dir", str(path.parent / "runs"), *more]


def worker(path: Path, *more: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "train.py", *command(path, *more)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def there(process: subprocess.Popen, path: Path) -> None:
    """Waits for a file that a worker writes."""
    while not path.exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.1)


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "sweep.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def weights(run: Path) -> dict[str, torch.Tensor]:
    return checkpoint.read(run / "checkpoints" / "last.ckpt")["state_dict"]


def test_a_sweep_ends_in_a_table_and_the_command_of_the_winner(describe, tmp_path, capsys):
    path = describe(space={"model.lr": [0.1, 1e37], "seed_everything": [1, 2]})
    assert main(command(path)) == 0
    printed = capsys.readouterr().out
    folder = tmp_path / "runs" / "s"
    found = {float(row["model.lr"]): row for row in rows(folder)}
    assert found.keys() == {0.1, 1e37}
    assert found[1e37]["val_loss"] == ""  # it diverged, and the sweep went on
    trial = f"{int(found[0.1]['trial']):03}"
    runs = sorted(folder.glob(f"{trial}-seed*"))
    assert [run.name[-5:] for run in runs] == ["seed1", "seed2"]
    both = [json.loads((run / "summary.json").read_text())["test_loss"] for run in runs]
    assert float(found[0.1]["test_loss"]) == pytest.approx(sum(both) / 2)
    assert float(found[0.1]["test_loss_sd"]) == pytest.approx(abs(both[0] - both[1]) / 2**0.5)
    page = (folder / "sweep.md").read_text()
    typed = next(line for line in page.splitlines() if " fit --config " in line)
    assert typed in printed
    assert "--model.lr 0.1 " in typed
    assert page.splitlines()[-1].split(" | ")[1:3] == ["1e+37", "diverged"]
    assert (folder / "sweep.png").read_bytes().startswith(b"\x89PNG")

    # the command trains the same network, to the last bit
    words = shlex.split(typed)
    assert main([*words[words.index("fit") :], "--runs_dir", str(tmp_path / "alone")]) == 0
    ours = weights(runs[0])
    alone = weights(tmp_path / "alone" / "s-best")
    assert all(torch.equal(ours[name], alone[name]) for name in alone)

    # again: nothing is trained, the same table
    before = {p: p.stat().st_mtime_ns for p in folder.glob("*/checkpoints/last.ckpt")}
    capsys.readouterr()
    assert main(command(path)) == 0
    assert before == {p: p.stat().st_mtime_ns for p in folder.glob("*/checkpoints/last.ckpt")}
    assert capsys.readouterr().out in printed


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"smapler": "grid"}, "'smapler' is not accepted; did you mean --sampler?"),
        ({"sampler": "gird"}, "gird"),
        ({"space": {}}, "the space is empty"),
        ({"space": {"model.lr": 0.1}}, "a list of values, or a mapping of low, high, log"),
        ({"space": {"model.lr": {"low": 0.1, "hihg": 1}}}, "'hihg' is not accepted"),
        ({"space": {"model.lr": [[0.1]]}}, "a list of values, or a mapping"),
        ({"space": {"model.lr": {"low": 0.1, "high": "b"}}}, "high"),
        ({"space": {"model.lrr": [0.1]}}, "--model.lrr 0.1; did you mean --model"),
        ({"space": {"model.lr": ["fast"]}}, "fast"),
        ({"space": {"model.lr": [0.1, -1.0]}}, "--model.lr must be positive, not -1.0"),
        ({"space": {"model.n_hidden": {"low": 0, "high": 5}}}, "n_hidden"),
        ({"options": {"name": "x"}}, "--name does not work in a sweep"),
        ({"options": {"trainer.devices": 2}}, "one device, not on 2"),
        ({"options": {"all_words": True}}, "leaves no words that compare trials"),
        (
            {"options": {"trainer.fast_dev_run": 2}},
            "--trainer.fast_dev_run does not work in a sweep",
        ),
        ({"config": "none.yaml"}, "none.yaml"),
        ({"trials": 3}, "leave out trials"),
        ({"config": 3.5}, "config"),
    ],
    ids=str,
)
def test_bad_input_is_one_line_before_the_first_trial(describe, tmp_path, capsys, changed, said):
    with pytest.raises(SystemExit) as ended:  # from the parser of fit or from us
        raise SystemExit(main(command(describe(**changed))))
    assert ended.value.code
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert not (tmp_path / "runs").exists()


def test_other_bad_input(describe, tmp_path, capsys, monkeypatch):
    path = describe()
    assert main(command(path, "--name", "a/b")) == 1
    assert main(["sweep", "--config", str(tmp_path / "no.yaml")]) == 1
    path.write_bytes(b"\xff\xfe\x00")
    assert main(command(path)) == 1
    assert capsys.readouterr().err.count("\n") == 3
    monkeypatch.setitem(sys.modules, "optuna", None)
    for module in ("runs.sweep", "runs.sweep_results", "commands.sweep"):
        monkeypatch.delitem(sys.modules, f"lit_makemore.{module}")
    assert main(command(describe())) == 1
    assert "pip install optuna" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
def test_ctrl_c_saves_and_the_same_command_goes_on(describe, tmp_path):
    path = describe(steps=4000, space={"model.lr": [0.01]})
    first = worker(path)
    run = tmp_path / "runs" / "s" / "000"
    there(first, run / "checkpoints" / "last.ckpt")
    first.send_signal(signal.SIGINT)
    error = first.communicate()[1]
    assert first.returncode == 130
    assert "the same sweep command goes on" in error
    saved = checkpoint.read(run / "checkpoints" / "last.ckpt")["global_step"]
    out, error = worker(path).communicate()
    assert f"resuming {run} at update {saved:,}" in error
    assert "The best trial is 000" in out


@pytest.mark.slow
def test_workers_that_are_killed_leave_a_study_that_ends_right(describe, tmp_path):
    """Two workers, two kills; then every run is as if nothing had happened, and counted once."""
    space = {"model.lr": [0.01, 0.1], "seed_everything": [1, 2]}
    path, chance = describe(steps=1000, space=space), random.Random(1)
    workers = [worker(path), worker(path)]
    for kills in range(2):
        while len([*tmp_path.glob("runs/s/*/checkpoints/last.ckpt")]) <= kills:
            assert any(one.poll() is None for one in workers)
            time.sleep(0.1)
        time.sleep(chance.uniform(0, 1))  # a kill may come at any moment
        which = chance.randrange(2)
        workers[which].kill()
        workers[which].communicate()
        workers[which] = worker(path)
    for one in workers:
        error = one.communicate()[1]
        assert one.returncode == 0, error
    last = worker(path)
    assert "trials not finished" not in last.communicate()[0]
    assert last.returncode == 0
    assert (
        sorted(float(row["model.lr"]) for row in rows(tmp_path / "runs" / "s")) == space["model.lr"]
    )
    assert main(command(path, "--name", "whole")) == 0
    for run in (tmp_path / "runs" / "whole").glob("*-seed*"):
        apart = weights(run), weights(tmp_path / "runs" / "s" / run.name)
        assert all(torch.equal(apart[0][name], apart[1][name]) for name in apart[0]), run


@pytest.fixture
def taught(tmp_path) -> dict[str, object]:
    """Options of a run with a teacher."""
    teacher = {"trainer": {"max_steps": 1000}, "model": {"n_hidden": 8, "n_layer": 1}}
    teacher["model"]["engine"] = "autograd"
    (tmp_path / "teacher.yaml").write_text(yaml.dump(teacher))
    return {"data.targets": "teacher", "data.teachers": [str(tmp_path / "teacher.yaml")]}


def fit_alone(tmp_path: Path, taught: dict[str, object], *more: str) -> dict[str, torch.Tensor]:
    options = [f"--{name}={value}" for name, value in taught.items()]
    place = ["--runs_dir", str(tmp_path / "alone"), "--name", "one"]
    assert main(["fit", "--config", str(tmp_path / "tiny.yaml"), *options, *more, *place]) == 0
    return weights(tmp_path / "alone" / "one")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("space", "teachers", "last"),
    [
        ({"model.lr": [0.1, 0.2], "seed_everything": [1, 2]}, 2, "001-seed2"),  # of two seeds
        ({"data.block_size": [2, 3]}, 2, "001"),  # which a teacher takes from the run
        ({"model.n_hidden": [8, 9]}, 1, "001"),
    ],
    ids=str,
)
def test_equal_teachers_of_a_sweep_are_one(describe, tmp_path, taught, space, teachers, last):
    assert main(command(describe(space=space, options=taught))) == 0
    folder = tmp_path / "runs" / "s"
    assert len([*folder.glob("**/teachers/**/summary.json")]) == teachers
    assert len({path.name for path in (folder / "teachers").iterdir()}) == teachers
    axis = next(iter(space))
    value = next(row[axis] for row in rows(folder) if int(row["trial"]) == 1)
    seed = ["--seed_everything", last[-1]] if "seed" in last else []
    alone = fit_alone(tmp_path, taught, f"--{axis}", value, *seed)
    ours = weights(folder / last)
    assert all(torch.equal(ours[name], alone[name]) for name in alone)


@pytest.mark.slow
def test_a_worker_waits_for_a_teacher_and_goes_on_with_it_after_a_kill(describe, tmp_path, taught):
    path = describe(space={"model.lr": [0.1, 0.2]}, options=taught)
    first = worker(path)
    while not [*tmp_path.glob("runs/s/teachers/*/1/checkpoints/last.ckpt")]:
        assert first.poll() is None, first.communicate()
        time.sleep(0.1)
    first.send_signal(signal.SIGSTOP)  # in its teacher, whose lock it holds
    second = worker(path)
    there(second, tmp_path / "runs" / "s" / "001" / "config.yaml")
    time.sleep(1)
    assert not [*tmp_path.glob("runs/s/teachers/*/1/summary.json")]
    first.kill()
    first.communicate()
    out, error = second.communicate()
    assert "The best trial is" in out, error
    (teacher,) = tmp_path.glob("runs/s/teachers/*/1")
    assert f"resuming {teacher} at update" in error
    rate = next(row["model.lr"] for row in rows(tmp_path / "runs" / "s") if row["trial"] == "1")
    alone = fit_alone(tmp_path, taught, "--model.lr", rate)
    ours = weights(tmp_path / "runs" / "s" / "001")
    assert all(torch.equal(ours[name], alone[name]) for name in alone)


@pytest.mark.slow
def test_a_full_disk_ends_a_sweep_which_goes_on_when_there_is_room(describe, tmp_path):
    path = describe(steps=1000, space={"model.lr": [0.01, 0.02, 0.03]})
    try:
        with small_disk(tmp_path / "disk", 8):
            place = ["--runs_dir", str(tmp_path / "disk" / "runs")]
            first = worker(path, *place)
            there(first, tmp_path / "disk" / "runs" / "s" / "000" / "checkpoints")
            ballast = tmp_path / "disk" / "ballast"
            with ballast.open("wb", buffering=0) as file, suppress(OSError):
                while True:
                    file.write(bytes(4096))
            error = first.communicate()[1]
            assert first.returncode == 1
            assert "No space left" in error.splitlines()[-1]
            ballast.unlink()
            out, error = worker(path, *place).communicate()
            assert "The best trial is" in out, error
            assert len(rows(tmp_path / "disk" / "runs" / "s")) == 3
    except OSError as error:
        pytest.skip(f"no small disk: {error}")


RATES = [0.01, 0.03, 0.1]


@pytest.mark.slow
@pytest.mark.slurm
def test_an_array_of_four_with_a_killed_and_a_requeued_task(cluster, describe, tmp_path):
    described = describe(2000, space={"model.lr": RATES, "seed_everything": [1, 2]})
    cluster.environment["PATH"] = f"{Path(sys.executable).parent}:{cluster.environment['PATH']}"
    runs = tmp_path / "runs"
    output = cluster.folder / "sweep-%a.out"
    job = cluster.run(
        "sbatch", "--parsable", "--array=0-3", f"--chdir={ROOT}", f"--output={output}",
        ROOT / "configs" / "cluster" / "sweep.sbatch",
        "--config", described, "--runs_dir", runs,
    ).strip()  # fmt: skip

    def said(task: int) -> str:
        path = Path(str(output).replace("%a", str(task)))
        return path.read_text() if path.exists() else ""

    until(
        lambda: len([*runs.glob("s/*-seed*/checkpoints/last.ckpt")]) >= 4,
        "".join(map(said, range(4))),
    )
    for pid, facts in training(job).items():
        if facts["SLURM_ARRAY_TASK_ID"] == "1":
            os.kill(pid, signal.SIGKILL)
    cluster.run("scancel", "--signal=USR1", f"{job}_2")
    until(lambda: "is requeued, time 1 of 20" in said(2), said(2))
    for task in (0, 2, 3):
        cluster.wait(f"{job}_{task}", "COMPLETED")
    assert cluster.wait(f"{job}_1") == "FAILED"
    assert cluster.show(f"{job}_2")["Restarts"] == "1"
    assert "repeat the same run" not in "".join(map(said, range(4)))

    # each point once, each run finished, as if by one process that nobody disturbed
    assert sorted(float(row["model.lr"]) for row in rows(runs / "s")) == RATES
    assert [row["runs"] for row in rows(runs / "s")] == ["2"] * len(RATES)
    trained = {(run.options["model.lr"], run.seed): run for run in all_below([runs / "s"])}
    assert len(trained) == 2 * len(RATES)
    assert sum(said(task).count(": val_loss ") for task in range(4)) == 2 * len(RATES)
    config = ["--config", str(tmp_path / "tiny.yaml"), "--runs_dir", str(tmp_path / "alone")]
    options = ["--model.lr", "0.1", "--seed_everything", "2", "--name", "one"]
    assert main(["fit", *config, *options]) == 0
    ours, alone = weights(trained[0.1, 2].folder), weights(tmp_path / "alone" / "one")
    assert all(torch.equal(ours[name], alone[name]) for name in alone)

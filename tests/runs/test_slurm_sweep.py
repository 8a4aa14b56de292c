"""A sweep by an array of jobs on a real SLURM: a task is killed, another one requeued."""

import os
import sys
import time
from pathlib import Path

import pytest
import torch
import yaml

from lit_makemore import model as checkpoint
from lit_makemore.cli import main
from lit_makemore.commands.compare import all_below
from tests.commands.test_sweep import rows, weights
from tests.conftest import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.slurm]
RATES = [0.01, 0.02, 0.03, 0.05, 0.1, 0.2]
STEPS = 6000


@pytest.fixture
def described(tmp_path, word_list) -> Path:
    config = {
        "data": {"path": str(word_list), "batch_size": 16},
        "model": {"n_hidden": 20, "engine": "autograd"},
        "trainer": {"max_steps": STEPS, "val_check_interval": 500, "accelerator": "cpu"},
        "diagnostics": {"enabled": False},
        "threads": 1,
    }
    (tmp_path / "tiny.yaml").write_text(yaml.dump(config))
    space = {"model.lr": RATES, "seed_everything": [1, 2]}
    (tmp_path / "s.yaml").write_text(
        yaml.dump({"config": str(tmp_path / "tiny.yaml"), "space": space})
    )
    return tmp_path / "s.yaml"


def updates(run: Path) -> int:
    last = run / "checkpoints" / "last.ckpt"
    return checkpoint.read(last)["global_step"] if last.exists() else 0


def workers(job: str) -> dict[str, int]:
    """The process of each task that trains, by the number of the task."""
    found = {}
    for path in Path("/proc").glob("[0-9]*"):
        try:
            words = (path / "cmdline").read_bytes().split(b"\0")
            pairs = (path / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        facts = dict(pair.decode(errors="replace").split("=", 1) for pair in pairs if b"=" in pair)
        ours = facts.get("SLURM_ARRAY_JOB_ID") == job
        if ours and words[0].endswith(b"python") and words[1:3] == [b"train.py", b"sweep"]:
            found[facts["SLURM_ARRAY_TASK_ID"]] = int(path.name)
    return found


def until(condition, what: str) -> None:
    end = time.monotonic() + 900
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.2)


def test_an_array_of_four_with_a_killed_and_a_requeued_task(cluster, described, tmp_path):
    cluster.environment["PATH"] = (
        f"{Path(sys.executable).parent}:{os.environ['PATH']}:/usr/sbin:/sbin"
    )
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

    def begun() -> list[str]:
        return [run.name for run in (runs / "s").glob("*-seed*") if updates(run)]

    until(lambda: len(begun()) >= 4, "".join(map(said, range(4))))
    os.kill(workers(job)["1"], 9)
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

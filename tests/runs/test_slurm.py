"""Jobs of a real SLURM on two virtual nodes: they end, are requeued, preempted, cancelled."""

import os
import re
import signal
import sys
import time
from pathlib import Path

import pytest
import yaml

from lit_makemore import model as checkpoint
from tests.conftest import ROOT, WORDS
from tests.parallel import fit, run, signal_one_by_one
from tests.same_run import differences
from tests.slurm_cluster import training, until

pytestmark = pytest.mark.slurm
STEPS = 4000
CONFIG = {
    "data": {"batch_size": 16},
    "model": {"n_hidden": 20},
    "trainer": {"max_steps": STEPS, "val_check_interval": 250, "accelerator": "cpu"},
}


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    folder = tmp_path_factory.mktemp("job")
    (folder / "words.txt").write_text("\n".join(WORDS) + "\n")
    CONFIG["data"]["path"] = str(folder / "words.txt")
    (folder / "tiny.yaml").write_text(yaml.dump(CONFIG))
    return folder / "tiny.yaml"


@pytest.fixture(scope="module")
def whole(config):
    """The run that was never stopped, outside SLURM."""
    more = ["--config", str(config), "--trainer.strategy", "ddp"]
    done = run(fit(config.parent, config.parent / "words.txt", "whole", 2, *more))
    assert done.returncode == 0, done.stderr
    return config.parent / "whole"


@pytest.fixture
def submit(cluster, config):
    """Submits configs/cluster/train.sbatch for two nodes with a task each."""

    def submit(*more: str, options: tuple[str, ...] = ()) -> str:
        path = os.environ["PATH"]
        cluster.environment["PATH"] = f"{Path(sys.executable).parent}:{path}:/usr/sbin"
        options = ("--ntasks-per-node=1", "--gres=none", f"--chdir={ROOT}", *options)
        script = ROOT / "configs" / "cluster" / "train.sbatch"
        arguments = ["--config", config, "--config", ROOT / "configs" / "cluster" / "slurm.yaml"]
        arguments += ["--trainer.accelerator", "cpu", "--trainer.devices", "1"]
        arguments += ["--runs_dir", config.parent]
        command = ["sbatch", "--parsable", f"--output={cluster.folder}/%j.out", *options]
        return cluster.run(*command, script, *arguments, *more).strip()

    return submit


def folder(config: Path, job: str) -> Path:
    return config.parent / f"tiny-{job}"


def saved(config: Path, job: str) -> int:
    """Updates that the job's last checkpoint has."""
    path = folder(config, job) / "checkpoints" / "last.ckpt"
    return checkpoint.read(path)["global_step"] if path.exists() else 0


def trains(cluster, config, job: str, step: int = 1) -> None:
    cluster.wait(job, "RUNNING")
    try:
        until(lambda: saved(config, job) >= step, "it does not train")
    except AssertionError as error:
        raise AssertionError(cluster.output(job)) from error


def cancel_for_good(cluster, job: str) -> None:
    cluster.run("scancel", job)
    assert cluster.wait(job, "CANCELLED") == "CANCELLED"
    until(lambda: not training(job), "its processes do not end")
    time.sleep(8)  # a requeued one would be back by now
    assert cluster.state(job) == "CANCELLED"


@pytest.mark.parametrize("nodes", [1, 2])
def test_a_job_of_two_tasks(cluster, config, submit, whole, nodes):
    tasks = 2 // nodes
    options = (f"--nodes={nodes}", f"--ntasks-per-node={tasks}")
    layout = ("--trainer.num_nodes", str(nodes), "--trainer.devices", str(tasks))
    job = submit(*layout, options=options)
    cluster.wait(job, "COMPLETED")
    assert differences(folder(config, job), whole) == []
    assert "nothing to resume: starting a new run" in cluster.output(job)


def test_a_warned_job_is_requeued_and_goes_on(cluster, config, submit, whole):
    job = submit()
    trains(cluster, config, job, 1000)
    pids = [*training(job)]
    assert len(pids) == 2
    signal_one_by_one(pids, signal.SIGUSR1)
    cluster.wait(job, "PENDING")
    cluster.wait(job, "COMPLETED")
    output = cluster.output(job)
    assert f"job {job} is requeued, time 1 of 20" in output
    stopped = re.search(r"stopped by SIGUSR1 at update ([\d,]*\d)", output)
    assert stopped
    assert f"resuming {folder(config, job)} at update {stopped[1]}" in output
    assert cluster.show(job)["Restarts"] == "1"
    assert differences(folder(config, job), whole) == []


def test_a_preempted_job_is_requeued_and_goes_on(cluster, config, submit, whole):
    job = submit()
    trains(cluster, config, job, 1000)
    urgent = cluster.submit("sleep 1", "--nodes=2", "--exclusive", "--partition=high")
    cluster.wait(urgent, "COMPLETED")
    cluster.wait(job, "COMPLETED")
    output = cluster.output(job)
    assert "stopped by SIGTERM at update" in output
    assert f"job {job} is requeued, time 1 of 20" in output
    assert differences(folder(config, job), whole) == []


@pytest.mark.parametrize("preempted", [False, True])
def test_a_cancelled_job_saves_and_is_not_requeued(cluster, config, submit, preempted):
    """Nor one that was requeued before, after a preemption."""
    job = submit("--trainer.max_steps", "1000000")
    trains(cluster, config, job)
    if preempted:
        urgent = cluster.submit("sleep 1", "--nodes=2", "--exclusive", "--partition=high")
        cluster.wait(urgent, "COMPLETED")
        trains(cluster, config, job, saved(config, job) + 1)
    cancel_for_good(cluster, job)
    stopped = re.findall(r"stopped by SIGTERM at update ([\d,]*\d)", cluster.output(job))
    assert saved(config, job) == int(stopped[-1].replace(",", ""))
    assert cluster.show(job)["Restarts"] == str(int(preempted))


def test_a_time_limit_warns_and_requeues_up_to_the_limit(cluster, config, submit):
    options = ("--time=2", "--signal=USR1@60")
    job = submit("--trainer.max_steps", "1000000", "--max_requeues", "1", options=options)
    trains(cluster, config, job)
    until(lambda: cluster.show(job)["Restarts"] == "1", "it is not requeued")
    before = saved(config, job)
    trains(cluster, config, job, before + 1)
    cluster.wait(job, "FAILED")
    output = cluster.output(job)
    assert f"job {job} is requeued, time 1 of 1" in output
    assert f"job {job} has been requeued 1 times, as --max_requeues allows" in output
    assert saved(config, job) > before
    # 143 if srun ends the second process, which is about to, since the first one has ended so
    assert cluster.show(job)["ExitCode"] in ("138:0", "143:0")

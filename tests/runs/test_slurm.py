"""Jobs of a real SLURM on two virtual nodes: they end, are requeued, preempted, cancelled."""

import os
import re
import shlex
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


def test_a_cancelled_job_saves_and_is_not_requeued(cluster, config, submit):
    job = submit("--trainer.max_steps", "1000000")
    trains(cluster, config, job)
    cancel_for_good(cluster, job)
    stopped = re.search(r"stopped by SIGTERM at update ([\d,]*\d)", cluster.output(job))
    assert stopped
    assert saved(config, job) == int(stopped[1].replace(",", ""))


def test_a_requeued_job_that_is_cancelled_later_is_not_requeued_again(cluster, config, submit):
    job = submit("--trainer.max_steps", "1000000")
    trains(cluster, config, job)
    urgent = cluster.submit("sleep 1", "--nodes=2", "--exclusive", "--partition=high")
    cluster.wait(urgent, "COMPLETED")
    before = saved(config, job)
    trains(cluster, config, job, before + 1)
    cancel_for_good(cluster, job)
    assert cluster.show(job)["Restarts"] == "1"


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


def test_an_allocation_without_srun_says_that_one_process_trains(cluster, config):
    arguments = fit(config.parent, config.parent / "words.txt", "alone", 1)
    command = f"{shlex.join(arguments)} --trainer.max_steps 5 2>&1"
    said = cluster.run("salloc", "--ntasks=4", "bash", "-c", command, cwd=ROOT)
    assert "SLURM has given 4 tasks, but the command was started without srun" in said
    assert (config.parent / "alone" / "summary.json").exists()


@pytest.mark.parametrize("seeds", [False, True])
def test_an_array_is_a_run_a_task_and_the_same_run_is_said(cluster, config, seeds):
    arguments = fit(config.parent, config.parent / "words.txt", "", 1, "--trainer.max_steps", "5")
    at = arguments.index("--name")
    del arguments[at : at + 2]  # named after the job
    arguments += ["--config", str(config)]
    command = shlex.join(arguments) + " --seed_everything $SLURM_ARRAY_TASK_ID" * seeds
    options = ("--array=0-1", "--job-name=fit", f"--output={cluster.folder}/%A_%a.out")
    job = cluster.submit(command, *options, f"--chdir={ROOT}")
    tasks = [f"{job}_{number}" for number in (0, 1)]
    for task in tasks:
        cluster.wait(task, "COMPLETED")
        assert (folder(config, task) / "summary.json").exists()
    said = [
        "they repeat the same run unless their options differ" in text
        for text in map(cluster.output, tasks)
    ]
    assert said == [not seeds, not seeds]

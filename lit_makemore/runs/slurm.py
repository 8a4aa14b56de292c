"""SLURM: which job this process belongs to, whether the options fit it, how to queue it again."""

import os
import subprocess
from contextlib import suppress
from typing import Any

from lightning.fabric.plugins.environments import SLURMEnvironment, TorchElasticEnvironment


def environment() -> SLURMEnvironment | None:
    """How Lightning sees the job; None where SLURM is not in use.

    Its own requeueing deadlocks if processes get the signal apart (#21406); ours: stopping.py.
    """
    if TorchElasticEnvironment.detect() or not SLURMEnvironment.detect():
        return None
    return SLURMEnvironment(auto_requeue=False)


def check(processes: int) -> None:
    """Refuses a job whose tasks are not the processes that the options ask for."""
    tasks, beside = _tasks()
    ours = f"--trainer.devices times --trainer.num_nodes is {processes}"
    started = f"srun has started {tasks} tasks, but"
    if beside and processes != tasks:
        remedy = "make both the same, and --ntasks-per-node the same as --trainer.devices"
        raise ValueError(f"{started} {ours}: {remedy}")
    if beside and environment() is None:
        remedy = "give it another --job-name"
        raise ValueError(f"{started} Lightning passes by jobs named bash or interactive: {remedy}")
    if tasks and not beside and processes > 1 and environment():
        remedy = "put srun before the command, with --ntasks-per-node as many as --trainer.devices"
        raise ValueError(f"{ours}, but no others are started: {remedy}")


def notes(seed: int) -> list[str]:
    """What may not be meant: a job with tasks that are not used, an array of the same run."""
    lines, (tasks, beside) = [], _tasks()
    if tasks > 1 and not beside:
        lines.append(
            f"SLURM has given {tasks} tasks, but the command was started without srun: "
            "one process trains; put srun before the command to use them"
        )
    task, size = (os.environ.get(f"SLURM_ARRAY_TASK_{of}") for of in ("ID", "COUNT"))
    if task and size and int(size) > 1 and str(seed) != task:
        lines.append(
            f"task {task} of an array of {size}: they repeat the same run unless their options "
            "differ, as by --seed_everything $SLURM_ARRAY_TASK_ID; sweep.sbatch shares a sweep"
        )
    return lines


def _tasks() -> tuple[int, bool]:
    """The tasks of the job, and whether srun has started this process as one of several."""
    if TorchElasticEnvironment.detect():
        return 0, False
    names = ("SLURM_NTASKS", "SLURM_STEP_NUM_TASKS", "SLURM_PROCID")
    tasks, of_step, number = (int(os.environ.get(name, 0)) for name in names)
    return tasks, tasks > 0 and (of_step > 1 or number > 0)


def job() -> str | None:
    """The batch job of this process, "12", or "12_3" in an array, also after a requeue; or None."""
    number = SLURMEnvironment.job_id()  # None in an interactive allocation
    array, task = (os.environ.get(f"SLURM_ARRAY_{of}_ID") for of in ("JOB", "TASK"))
    return None if number is None else f"{array}_{task}" if array and task else str(number)


def restarts() -> int:
    return int(os.environ.get("SLURM_RESTART_COUNT", 0))


def preempted() -> bool:
    """Whether SLURM ends the job in favour of another one, by SIGTERM as a cancelled job."""
    with suppress(OSError):
        shown = _scontrol("show", "job", str(job()))
        facts = dict(fact.split("=", 1) for fact in shown.split() if "=" in fact)
        going = facts.get("JobState") in ("RUNNING", "SIGNALING")
        return going and facts.get("PreemptTime", "None") != "None"
    return False


def requeue(limit: int) -> str:
    """Queues the job again, up to `limit` times, which ends its processes; a line for the user."""
    number, before = str(job()), restarts()
    if before >= limit:
        return f"job {number} has been requeued {before} times, as --max_requeues allows"
    try:
        _scontrol("requeue", number)
    except OSError as error:
        return f"job {number} cannot be requeued: {error}"
    return f"job {number} is requeued, time {before + 1} of {limit}"


def _scontrol(*arguments: str) -> str:
    how: dict[str, Any] = {"capture_output": True, "errors": "replace", "timeout": 60}
    try:
        return subprocess.run(["scontrol", *arguments], check=True, **how).stdout
    except subprocess.SubprocessError as error:
        said = getattr(error, "stderr", None) or "no answer from scontrol"
        raise OSError(said.strip()) from error

"""What a run must know of SLURM: which job it is, and how to queue that again."""

import os
import subprocess

from lightning.fabric.plugins.environments import SLURMEnvironment


def job() -> str | None:
    """The batch job this process belongs to, "12", or "12_3" in an array; None outside one.

    A requeued job keeps its number.
    """
    number = SLURMEnvironment.job_id()  # None on a terminal that a job was allocated to
    if number is None:
        return None
    array, task = (os.environ.get(f"SLURM_ARRAY_{of}_ID") for of in ("JOB", "TASK"))
    return f"{array}_{task}" if array and task else str(number)


def restarts() -> int:
    """How often the job has been queued again."""
    return int(os.environ.get("SLURM_RESTART_COUNT", 0))


def preempted() -> bool:
    """Whether SLURM takes the job's place away for another one: then it sends SIGTERM, as it does
    to a cancelled job, but would not queue it again once its processes have ended by themselves."""
    try:
        shown = _scontrol("show", "job", str(job()))
    except OSError:
        return False
    facts = dict(fact.split("=", 1) for fact in shown.split() if "=" in fact)
    going = facts.get("JobState") in ("RUNNING", "SIGNALING")
    return going and facts.get("PreemptTime", "None") != "None"


def requeue(limit: int) -> str:
    """Queues the job again, which ends its processes; returns what there is to say of it.

    Args:
        limit: how often a job may be queued again.
    """
    number, before = job(), restarts()
    assert number is not None
    if before >= limit:
        return f"job {number} has been requeued {before} times, as --max_requeues allows"
    try:
        _scontrol("requeue", number)
    except OSError as error:
        return f"job {number} cannot be requeued: {error}"
    return f"job {number} is requeued, time {before + 1} of {limit}"


def _scontrol(*arguments: str) -> str:
    try:
        command = ["scontrol", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    except subprocess.CalledProcessError as error:
        raise OSError(error.stderr.strip()) from error
    except subprocess.TimeoutExpired as error:
        raise OSError("no answer from scontrol") from error
    return done.stdout

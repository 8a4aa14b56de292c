"""SLURM: which job this process belongs to, whether the options fit it, how to queue it again."""

import os
import subprocess

from lightning.fabric.plugins.environments import SLURMEnvironment, TorchElasticEnvironment


def environment() -> SLURMEnvironment | None:
    """How Lightning sees the job, without its own requeueing; None where SLURM is not in use.

    That saves inside the signal handler, and deadlocks where several processes get the signal at
    different times (Lightning #21406). Ours is in stopping.py.
    """
    if TorchElasticEnvironment.detect() or not SLURMEnvironment.detect():
        return None
    try:
        return SLURMEnvironment(auto_requeue=False)
    except RuntimeError as error:  # --ntasks without --ntasks-per-node
        raise ValueError(str(error)) from error


def check(processes: int) -> None:
    """Refuses a job whose tasks are not the processes that the options ask for."""
    tasks = int(os.environ.get("SLURM_NTASKS", 0))
    if not tasks or TorchElasticEnvironment.detect():
        return
    ours = f"--trainer.devices times --trainer.num_nodes is {processes}"
    if not _is_one_of_several():
        if processes > 1 and environment():
            raise ValueError(
                f"{ours}, but no others are started: put srun before the command, in a job "
                "with --ntasks-per-node as many as --trainer.devices"
            )
    elif processes != tasks:
        raise ValueError(
            f"srun has started {tasks} tasks, but {ours}: both must be the same, and "
            "--ntasks-per-node the same as --trainer.devices"
        )
    elif environment() is None:
        raise ValueError(
            f"srun has started {tasks} tasks, but Lightning does not look at a job that is named "
            "bash or interactive: give it another --job-name"
        )


def notes(seed: int) -> list[str]:
    """What may not be meant: a job with tasks that are not used, an array of the same run."""
    lines = []
    tasks = int(os.environ.get("SLURM_NTASKS", 1))
    if tasks > 1 and not _is_one_of_several() and not TorchElasticEnvironment.detect():
        lines.append(
            f"SLURM has given {tasks} tasks, but the command was started without srun: "
            "one process trains; put srun before the command to use them"
        )
    task, size = (os.environ.get(f"SLURM_ARRAY_TASK_{of}") for of in ("ID", "COUNT"))
    if task and size and int(size) > 1 and str(seed) != task:
        lines.append(
            f"task {task} of an array of {size}: they repeat the same run unless their options "
            "differ, for example by --seed_everything $SLURM_ARRAY_TASK_ID in the batch script; "
            "configs/cluster/sweep.sbatch shares the runs of a sweep"
        )
    return lines


def _is_one_of_several() -> bool:
    """Whether srun has started this process beside others; a shell or a batch script has not."""
    beside = int(os.environ.get("SLURM_STEP_NUM_TASKS", 1)) > 1
    return beside or int(os.environ.get("SLURM_PROCID", 0)) > 0


def job() -> str | None:
    """The batch job of this process, "12", or "12_3" in an array, also after a requeue; or None."""
    number = SLURMEnvironment.job_id()  # None in an interactive allocation
    array, task = (os.environ.get(f"SLURM_ARRAY_{of}_ID") for of in ("JOB", "TASK"))
    return None if number is None else f"{array}_{task}" if array and task else str(number)


def restarts() -> int:
    """How often the job has been queued again."""
    return int(os.environ.get("SLURM_RESTART_COUNT", 0))


def preempted() -> bool:
    """Whether SLURM ends the job in favour of another one, by SIGTERM as a cancelled job."""
    try:
        shown = _scontrol("show", "job", str(job()))
    except OSError:
        return False
    facts = dict(fact.split("=", 1) for fact in shown.split() if "=" in fact)
    going = facts.get("JobState") in ("RUNNING", "SIGNALING")
    return going and facts.get("PreemptTime", "None") != "None"


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
    command = ["scontrol", *arguments]
    try:
        done = subprocess.run(
            command, capture_output=True, errors="replace", timeout=60, check=True
        )
    except subprocess.SubprocessError as error:
        said = getattr(error, "stderr", None) or "no answer from scontrol"
        raise OSError(said.strip()) from error
    return done.stdout

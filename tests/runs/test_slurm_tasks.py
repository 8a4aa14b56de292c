"""A job's tasks and the processes of a run; how a job is requeued: what does not fit is said."""

import os

import pytest

from lit_makemore.cli import main
from lit_makemore.runs import slurm

SALLOC = {"NTASKS": "4", "JOB_ID": "7", "JOB_NAME": "interactive"}
BATCH = {"NTASKS": "4", "NTASKS_PER_NODE": "4", "JOB_ID": "7", "JOB_NAME": "fit", "PROCID": "0"}
SRUN = {**BATCH, "STEP_ID": "0", "STEP_NUM_TASKS": "4", "LOCALID": "0", "NODEID": "0"}


@pytest.fixture
def job(monkeypatch):
    """Sets the variables of a SLURM job."""
    for name in [name for name in os.environ if name.startswith("SLURM")]:
        monkeypatch.delenv(name)

    def job(variables: dict[str, str]) -> None:
        for name, value in variables.items():
            monkeypatch.setenv(f"SLURM_{name}", value)

    return job


@pytest.mark.parametrize(("variables", "processes"), [(SALLOC, 1), (BATCH, 1), (SALLOC, 4)])
def test_one_process_of_four_tasks_is_said_and_an_allocation_may_start_four(
    job, variables, processes
):
    job(variables)
    assert "put srun before the command" in slurm.notes(42)[0]
    slurm.check(processes)


@pytest.mark.parametrize("seed", [1, 42])
def test_the_tasks_of_an_array_that_repeat_a_run_are_said(job, seed):
    job({**SRUN, "ARRAY_TASK_ID": "1", "ARRAY_TASK_COUNT": "2"})
    assert ["they repeat the same run" in line for line in slurm.notes(seed)] == [True][seed == 1 :]


@pytest.mark.parametrize("variables", [{}, SRUN, {**SRUN, "NTASKS": "1", "STEP_NUM_TASKS": "1"}])
def test_tasks_that_are_used_are_not_mentioned(job, variables):
    job(variables)
    assert slurm.notes(42) == []
    slurm.check(int(variables.get("NTASKS", 1)))


@pytest.mark.parametrize(
    ("variables", "processes", "message"),
    [
        (SRUN, 1, "started 4 tasks, but --trainer.devices times --trainer.num_nodes is 1"),
        (SRUN, 2, "started 4 tasks, but --trainer.devices times --trainer.num_nodes is 2"),
        (BATCH, 4, "put srun before the command"),  # it would wait for the others for ever
        ({**BATCH, "NTASKS": "1", "NTASKS_PER_NODE": "1"}, 4, "put srun before the command"),
        ({**SRUN, "JOB_NAME": "bash"}, 4, "another --job-name"),  # each would start four
    ],
)
def test_processes_that_are_not_the_tasks_are_refused(job, variables, processes, message):
    job(variables)
    with pytest.raises(ValueError, match=message):
        slurm.check(processes)


@pytest.mark.parametrize("rank", ["0", "1"])
def test_the_second_of_two_tasks_names_the_mismatch_not_the_folder(
    job, tmp_path, word_list, capsys, rank
):
    job({**SRUN, "NTASKS": "2", "STEP_NUM_TASKS": "2", "NTASKS_PER_NODE": "2", "PROCID": rank})
    arguments = ["fit", "--data.path", str(word_list), "--trainer.max_steps", "2"]
    arguments += ["--trainer.accelerator", "cpu", "--runs_dir", str(tmp_path / "runs")]
    assert main([*arguments, "--trainer.devices", "1"]) == 1
    error = capsys.readouterr().err
    assert "tasks" in error
    assert "devices" in error
    assert "exists" not in error
    assert not (tmp_path / "runs").exists()


@pytest.fixture
def scontrol(tmp_path, monkeypatch):
    """A stand-in for SLURM's command: what it shall print; what it was asked."""
    program, asked = tmp_path / "scontrol", tmp_path / "asked"

    def says(text: str, status: int = 0) -> None:
        program.write_text(
            f"#!/bin/sh\necho $@ >> {asked}\necho '{text}' >&$(({status} ? 2 : 1))\nexit {status}\n"
        )
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
        monkeypatch.setenv("SLURM_JOB_ID", "12")
        monkeypatch.setenv("SLURM_JOB_NAME", "makemore")

    says.asked = lambda: asked.read_text().splitlines() if asked.exists() else []
    return says


def test_a_job_is_requeued_up_to_the_limit(scontrol, monkeypatch):
    scontrol("")
    assert slurm.requeue(2) == "job 12 is requeued, time 1 of 2"
    monkeypatch.setenv("SLURM_RESTART_COUNT", "2")
    assert "--max_requeues" in slurm.requeue(2)
    assert scontrol.asked() == ["requeue 12"]
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "10")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "3")
    assert "job 10_3 is requeued" in slurm.requeue(3)
    scontrol("Invalid job id", status=1)
    assert slurm.requeue(3) == "job 10_3 cannot be requeued: Invalid job id"


def test_what_scontrol_says_need_not_be_utf_8(scontrol, tmp_path):
    scontrol("")
    (tmp_path / "scontrol").write_bytes(b"#!/bin/sh\necho '\xff' >&2; exit 1\n")
    assert slurm.requeue(3) == "job 12 cannot be requeued: \ufffd"
    assert not slurm.preempted()


@pytest.mark.parametrize(
    ("state", "time", "expected"),
    [
        ("RUNNING", "2026-11-22T10:00:00", True),
        ("RUNNING", "None", False),
        ("CANCELLED", "2026-11-22T10:00:00", False),  # preempted before, cancelled now
    ],
)
def test_preemption_is_no_cancellation(scontrol, state, time, expected):
    scontrol(f"JobId=12 JobState={state} PreemptTime={time} Reason=None")
    assert slurm.preempted() is expected


def test_outside_a_job_there_is_none(monkeypatch):
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    assert slurm.job() is None
    monkeypatch.setenv("SLURM_JOB_ID", "12")
    monkeypatch.setenv("SLURM_JOB_NAME", "interactive")
    assert slurm.job() is None

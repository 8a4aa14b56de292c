"""Signals are noted, weighed, and given back to whoever had them."""

import os
import signal
import subprocess
import sys

import pytest

from lit_makemore.runs import slurm
from lit_makemore.runs.signals import ASKING, noted, received
from tests.conftest import ROOT


def send(signum: int) -> None:
    os.kill(os.getpid(), signum)


def test_the_weightiest_signal_counts(monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "1")
    before = signal.getsignal(signal.SIGTERM)
    with noted(*ASKING):
        assert received() == 0
        send(signal.SIGUSR1)
        assert ASKING[received() - 1] == signal.SIGUSR1
        send(signal.SIGTERM)
        send(signal.SIGTERM)  # in a SLURM job several may come
        send(signal.SIGUSR1)
        assert ASKING[received() - 1] == signal.SIGTERM
    assert received() == 0
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_second_signal_ends_the_process_at_once():
    code = "import os, signal; from lit_makemore.runs.signals import *\n"
    code += "with noted(*ASKING):\n"
    code += "    for signum in (signal.SIGUSR1, signal.SIGUSR1, signal.SIGINT, signal.SIGTERM):\n"
    code += "        print(signum.name, flush=True); os.kill(os.getpid(), signum)\n"
    code += "    print('still here')"
    environment = {k: v for k, v in os.environ.items() if k != "SLURM_JOB_ID"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, env=environment
    )
    assert done.stdout.split() == ["SIGUSR1", "SIGUSR1", "SIGINT", "SIGTERM"]
    assert done.returncode == -signal.SIGTERM


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

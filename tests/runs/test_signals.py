"""Signals are noted, weighed, and given back; a process that one stops disconnects first."""

import os
import signal
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch

from lit_makemore.runs import signals, stopping
from lit_makemore.runs.signals import ASKING, noted, received
from tests.conftest import ROOT


def test_the_weightiest_signal_counts(monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "1")
    before = signal.getsignal(signal.SIGTERM)
    with noted(*ASKING):
        assert received() == 0
        os.kill(os.getpid(), signal.SIGUSR1)
        assert ASKING[received() - 1] == signal.SIGUSR1
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)  # in a SLURM job several may come
        os.kill(os.getpid(), signal.SIGUSR1)
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
def child():
    """A process that Lightning has started; what was done to it."""
    done = []
    return SimpleNamespace(
        wait=lambda seconds: done.append("waited"),
        terminate=lambda: done.append("terminated"),
        done=done,
    )


def test_a_process_disconnects_before_it_waits_for_those_that_it_started(monkeypatch, child):
    """By NCCL they end their connection together with this process: they would wait for it."""
    started = [child, child]
    strategy = SimpleNamespace(launcher=SimpleNamespace(procs=started))
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(
        torch.distributed, "destroy_process_group", lambda: child.done.append("disconnected")
    )
    stopping._leave(SimpleNamespace(world_size=3, strategy=strategy))
    assert child.done == ["disconnected", "waited", "waited"]
    assert started == []


@pytest.fixture
def connecting(child, monkeypatch):
    """`connecting(connect)`: what the strategy of a Trainer with a child then calls."""

    def connecting(connect, address="127.0.0.1"):
        strategy = SimpleNamespace(
            setup_distributed=connect,
            cluster_environment=SimpleNamespace(main_address=address, main_port=1234),
            launcher=SimpleNamespace(procs=[child]),
        )
        stopping.stop_while_connecting(SimpleNamespace(strategy=strategy, world_size=2))
        return strategy.setup_distributed

    for name in [name for name in os.environ if name.startswith("SLURM")]:
        monkeypatch.delenv(name)
    return connecting


@pytest.mark.parametrize("slurm", [True, False])
def test_a_signal_ends_a_wait_for_the_others_but_in_a_job_and_a_warning_is_kept(
    connecting, monkeypatch, slurm
):
    """torch waits in C++, where Python runs no handler."""
    if slurm:
        monkeypatch.setenv("SLURM_JOB_ID", "5")
    handlers = {}
    with noted(*ASKING):
        connecting(lambda: handlers.update({one: signal.getsignal(one) for one in ASKING}))()
        assert {signal.getsignal(one) for one in ASKING} == {signals.note}
    ending = [one for one in ASKING if handlers[one] == signal.SIG_DFL]
    assert ending == [one for one in ASKING if one.name not in signals.WARNINGS and not slurm]


def fails() -> None:
    raise torch.distributed.DistNetworkError("port in use\nframe 0")


@pytest.mark.parametrize(
    ("address", "message"),
    [("127.0.0.1", "port in use[)]; let MASTER"), ("nohost.invalid", "Errno")],
)
def test_processes_that_do_not_find_each_other_say_where(connecting, child, address, message):
    with pytest.raises(ValueError, match=f"each other at {address}:1234 .*{message}"):
        connecting(fails, address)()
    assert child.done == ["terminated", "waited"]

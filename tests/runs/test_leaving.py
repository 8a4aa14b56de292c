"""Several processes that a signal stops disconnect before they wait for each other."""

import os
import signal
from threading import Event, Timer
from types import SimpleNamespace

import pytest
import torch

from lit_makemore.runs import signals, stopping
from lit_makemore.runs.signals import ASKING, Stopped, noted


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
    """A Trainer of two processes, the other of which never comes unless `connect` is given."""
    forever = Event()

    def connecting(connect=forever.wait, address="127.0.0.1", rank=0):
        environment = SimpleNamespace(main_address=address, main_port=1234)
        strategy = SimpleNamespace(
            setup_distributed=connect,
            cluster_environment=environment,
            launcher=SimpleNamespace(procs=[child]),
        )
        trainer = SimpleNamespace(strategy=strategy, world_size=2, local_rank=rank)
        stopping.stop_while_connecting(trainer)
        return strategy.setup_distributed

    for name in [name for name in os.environ if name.startswith("SLURM")]:
        monkeypatch.delenv(name)
    yield connecting
    forever.set()


def send(signum: int, seconds: float) -> None:
    Timer(seconds, lambda: os.kill(os.getpid(), signum)).start()


@pytest.mark.parametrize("signum", [one for one in ASKING if one.name not in signals.WARNINGS])
def test_a_signal_ends_the_wait_for_the_others(connecting, child, signum):
    with noted(*ASKING):
        send(signum, 0.2)
        with pytest.raises(Stopped, match=f"{signum.name} before the first update"):
            connecting()()
    assert child.done == ["terminated", "waited"]


@pytest.mark.parametrize("slurm", [True, False])
def test_a_warning_is_kept_for_the_first_update_and_in_a_job_sigterm_too(
    connecting, child, monkeypatch, slurm
):
    if slurm:
        monkeypatch.setenv("SLURM_JOB_ID", "5")
    send(signal.SIGTERM if slurm else signal.SIGUSR1, 0.1)
    with noted(*ASKING):
        connecting(lambda: Event().wait(0.5))()
        assert signals.received()
    assert child.done == []


def test_a_process_does_not_outlive_the_first_one(connecting, monkeypatch):
    monkeypatch.setattr(signals, "PARENT", 1 + os.getppid())
    connecting(lambda: None)()  # of a shell that has gone
    with pytest.raises(Stopped):
        connecting(rank=1)()


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

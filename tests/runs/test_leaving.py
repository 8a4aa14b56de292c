"""Several processes that a signal stops disconnect before they wait for each other."""

import os
import signal
from types import SimpleNamespace

import pytest
import torch

from lit_makemore.runs import signals, stopping
from lit_makemore.runs.signals import ASKING, noted


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

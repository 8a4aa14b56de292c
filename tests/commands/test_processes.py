"""What connects the processes is closed before Python ends, unless one of them failed."""

import signal

import pytest
from lit_makemore.commands.processes import disconnected_afterwards
from torch import distributed

from lit_makemore.runs.signals import Stopped


@pytest.fixture
def connection(tmp_path):
    """One process, connected with itself."""
    distributed.init_process_group("gloo", f"file://{tmp_path}/store", rank=0, world_size=1)
    yield
    if distributed.is_initialized():
        distributed.destroy_process_group()


def test_it_is_closed_at_the_end(connection):
    with disconnected_afterwards():
        assert distributed.is_initialized()
    assert not distributed.is_initialized()


def test_it_is_closed_after_a_stop(connection):
    with pytest.raises(Stopped), disconnected_afterwards():
        raise Stopped(signal.SIGTERM, "stopped")
    assert not distributed.is_initialized()


def test_a_failure_does_not_wait_for_the_others(connection):
    with pytest.raises(ValueError, match="broken"), disconnected_afterwards():
        raise ValueError("broken")
    assert distributed.is_initialized()


def test_one_process_alone_has_none():
    with disconnected_afterwards():
        pass
    assert not distributed.is_initialized()

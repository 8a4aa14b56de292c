"""The connection between the processes of a run, which Lightning opens and leaves open."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import distributed

from lit_makemore.runs.signals import Stopped


@contextmanager
def disconnected_afterwards() -> Iterator[None]:
    """Closes the connection at the end of the block, if the block ended in order.

    A thread of gloo that needs Python while it shuts down would abort this process, and Lightning
    then kills the others. After a failure nothing is closed: that would wait for the others.
    """
    try:
        yield
    except Stopped:  # all processes stop after the same update
        _disconnect()
        raise
    _disconnect()


def _disconnect() -> None:
    if distributed.is_available() and distributed.is_initialized():
        distributed.destroy_process_group()

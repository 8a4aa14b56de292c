"""Signals that ask a run to stop are noted at once; the run stops between two updates.

Only the standard library is imported: SIGUSR1, a cluster's warning, may come before torch is.
"""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from threading import current_thread, main_thread
from types import FrameType
from typing import Any

WARNINGS = ("SIGUSR1", "SIGUSR2", "SIGXCPU")  # of a cluster, before time or CPU time ends
# The last one decides: a job that is warned and then cancelled must not be queued again.
NAMES = (*WARNINGS, "SIGINT", "SIGHUP", "SIGTERM")
ASKING = [getattr(signal, name) for name in NAMES if hasattr(signal, name)]
if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) == signal.SIG_IGN:
    ASKING.remove(signal.SIGHUP)  # nohup has started us
_noted: list[int] = []  # those received


class Stopped(BaseException):
    """A signal has ended the run, after its state was saved."""

    def __init__(self, signum: int, message: str) -> None:
        super().__init__(message)
        self.signum = signum


def note(signum: int, frame: FrameType | None) -> None:
    """A second SIGTERM or SIGINT ends the process at once, but where SLURM sends several."""
    ends = {signal.SIGTERM, signal.SIGINT}
    if signum in ends and ends & {*_noted} and "SLURM_JOB_ID" not in os.environ:
        signal.signal(signum, signal.SIG_DFL)
        os.kill(os.getpid(), signum)
    _noted.append(signum)
    for stream in (1, 2):  # of a terminal that is gone, where writing would be an error
        try:
            os.write(stream, b"")
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream)


@contextmanager
def noted(*signums: int, handler: Any = note) -> Iterator[None]:
    """Notes these signals inside the block."""
    before = {}
    if current_thread() is main_thread():  # no other may set handlers
        before = {signum: signal.signal(signum, handler) for signum in signums}
    try:
        yield
    finally:
        for signum, old in before.items():
            signal.signal(signum, old)
        if before and note not in before.values():  # this is no block inside another
            _noted.clear()


def received() -> int:
    """The noted signal that decides, as its place in ASKING, counted from 1; 0 for none."""
    return max((ASKING.index(signum) + 1 for signum in _noted), default=0)

"""Signals that ask a run to stop, noted where they strike and obeyed between two updates.

Only the standard library is imported here: SIGUSR1, a cluster's warning, may come while torch is
still being imported, and would end the process.
"""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

# By rising weight: a job that is warned and then cancelled must not queue again.
ASKING = [
    getattr(signal, name) for name in ("SIGUSR1", "SIGINT", "SIGTERM") if hasattr(signal, name)
]
_noted: list[int] = []  # those received


@contextmanager
def noted(*signums: int) -> Iterator[None]:
    """Inside the block these signals are noted; after it they do what they did before.

    SIGTERM or SIGINT after one of the two ends the process at once; not in a SLURM job, where more
    than one may come and SIGKILL will.
    """
    before = {}
    try:
        for signum in signums:
            before[signum] = signal.signal(signum, _note)
    except ValueError:  # not the main thread, which alone may
        pass
    try:
        yield
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)
        if before and _note not in before.values():  # an outer block still listens
            _noted.clear()


def _note(signum: int, frame: FrameType | None) -> None:
    ends = {signal.SIGTERM, signal.SIGINT}
    if signum in ends and ends & {*_noted} and "SLURM_JOB_ID" not in os.environ:
        signal.signal(signum, signal.SIG_DFL)
        os.kill(os.getpid(), signum)
    _noted.append(signum)


def received() -> int:
    """The weightiest signal noted so far, as its place in ASKING, counted from 1; 0 for none."""
    return max((ASKING.index(signum) + 1 for signum in _noted), default=0)

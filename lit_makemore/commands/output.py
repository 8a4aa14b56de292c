"""What a command says on stderr, and how the program was started; imports nothing heavy."""

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lit_makemore.words.vocab import visible

LONGEST = 4000  # characters of an error: a stranger's file may hold values of any length
RANKS = ("RANK", "LOCAL_RANK", "SLURM_PROCID")  # variables of launchers; the first one counts


def program() -> str:
    """How the user has started this program, for help that can be typed as it stands."""
    name = Path(sys.argv[0]).stem
    if name == "lit_makemore":
        return name
    return "python -m lit_makemore" if name in ("__main__", "cli") else "python train.py"


def rank() -> int:
    """The number of this process among several, as the launcher gives it."""
    for name in RANKS:
        if (number := os.environ.get(name)) is not None:
            if not number.isdecimal():
                raise ValueError(f"{name}={number} in the environment is no number: unset {name}")
            return int(number)
    return 0


def one_line(text: str) -> str:
    """A message as one line of a terminal; what is too long loses its middle."""
    line = visible(" ".join(text.split()))
    return line if len(line) <= LONGEST else f"{line[: LONGEST // 2]} … {line[-LONGEST // 4 :]}"


def say(*lines: str) -> None:
    if not rank():
        for line in lines:
            print(visible(line), file=sys.stderr)


@contextmanager
def notes(level: int) -> Iterator[None]:
    """Shows the notes of this package on stderr, from a level of logging on."""
    logger, handler = logging.getLogger("lit_makemore"), logging.StreamHandler()
    logger.setLevel(logging.WARNING if rank() else level)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)

"""What a command says on stderr, and how it was started. Nothing heavy is imported here."""

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lit_makemore.words.vocab import visible

LONGEST = 4000  # characters of an error: a stranger's file may hold values of any length
RANKS = ("RANK", "LOCAL_RANK", "SLURM_PROCID")  # variables of launchers; the first one counts
# how many processes mpirun has started, or another launcher of its kind
SIZES = ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "MV2_COMM_WORLD_SIZE", "JSM_NAMESPACE_SIZE")
NUMBERS = [*RANKS, *SIZES]  # that Lightning or we read
NUMBERS += "NODE_RANK GROUP_RANK WORLD_SIZE LOCAL_WORLD_SIZE MASTER_PORT SLURM_NTASKS".split()
NUMBERS += "SLURM_STEP_NUM_TASKS SLURM_RESTART_COUNT TORCHELASTIC_MAX_RESTARTS".split()


def program() -> str:
    """How the user has started this program, for help that can be typed as it stands."""
    names = {"lit_makemore": "lit_makemore", "__main__": "python -m lit_makemore"}
    return names.get(Path(sys.argv[0]).stem, "python train.py")


def rank() -> int:
    """The number of this process among several, as the launcher gives it."""
    for name in NUMBERS:
        if not (number := os.environ.get(name, "0")).isdecimal():
            raise ValueError(f"{name}={number} in the environment is no number: unset {name}")
    return next((int(os.environ[name]) for name in RANKS if name in os.environ), 0)


def one_line(text: str) -> str:
    """A message as one line of a terminal, without the middle of what is too long."""
    line = visible(" ".join(text.split()))
    return line if len(line) <= LONGEST else f"{line[: LONGEST // 2]} … {line[-LONGEST // 4 :]}"


def say(*lines: str) -> None:
    if not rank():
        for line in lines:
            print(visible(line), file=sys.stderr)


@contextmanager
def notes(level: int) -> Iterator[None]:
    """Shows the notes of this package on stderr, each once, from a level of logging on."""
    logger, handler = logging.getLogger("lit_makemore"), logging.StreamHandler()
    said: dict[str, logging.LogRecord] = {}  # teachers say what the run that they teach says, too
    handler.addFilter(lambda record: said.setdefault(record.getMessage(), record) is record)
    logger.setLevel(logging.WARNING if rank() else level)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)

"""Where a command's text goes: what was asked for to stdout or a file, notes to stderr.

Nothing heavy is imported here.
"""

import csv
import logging
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path

from lit_makemore.files import replacing


def program() -> str:
    """How the user has started this program, for help that can be typed as it stands.

    `lit_makemore` if that is installed and in use, `python -m lit_makemore`, or the script.
    """
    name = Path(sys.argv[0]).stem
    if name == "lit_makemore":
        return name
    return "python -m lit_makemore" if name in ("__main__", "cli") else "python train.py"


def rank() -> int:
    """The number of this process among several, as the launcher gives it."""
    ranks = (os.environ.get(name) for name in ("RANK", "LOCAL_RANK", "SLURM_PROCID"))
    return int(next(filter(None, ranks), 0))


def say(*lines: str) -> None:
    """Prints a note about the run, on the first process only."""
    if not rank():
        for line in lines:
            print(line, file=sys.stderr)


@contextmanager
def notes(level: int) -> Iterator[None]:
    """Shows the notes of this package on stderr, from a level of logging on."""
    logger = logging.getLogger("lit_makemore")
    handler = logging.StreamHandler()
    logger.setLevel(logging.WARNING if rank() else level)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


def write(parts: Iterable[str], path: str | None) -> None:
    """Writes parts of a text, each as soon as it is there; to stdout if path is None.

    A file gets its name when it is complete.
    """
    if path is None:
        for part in parts:
            sys.stdout.write(part)
        return
    with replacing(path) as file:
        for part in parts:
            file.write(part.encode())


def csv_row(cells: Iterable[object]) -> str:
    """One line of a CSV, with its end."""
    line = StringIO()
    csv.writer(line, lineterminator="\n").writerow(cells)
    return line.getvalue()

"""What a command says on stderr, on the first process only."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from lightning.pytorch.utilities.rank_zero import rank_zero_only


@contextmanager
def notes(level: int) -> Iterator[None]:
    """Shows the notes of this package on stderr, from a level of logging on."""
    logger = logging.getLogger("lit_makemore")
    handler = logging.StreamHandler()
    is_first = rank_zero_only.rank == 0  # type: ignore[attr-defined]
    logger.setLevel(level if is_first else logging.WARNING)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


@rank_zero_only
def say(*lines: str) -> None:
    """Prints a note about the run."""
    for line in lines:
        print(line, file=sys.stderr)

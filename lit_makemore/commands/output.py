"""Where a command writes its text: a file, or stdout."""

import csv
import sys
from collections.abc import Iterable
from io import StringIO

from lit_makemore.files import replacing


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

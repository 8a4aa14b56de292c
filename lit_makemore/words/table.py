"""Tables of words: a CSV is recognised, and one column of it is read."""

import csv
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

MARKS = "\t,;"
FEWEST = 10  # rows that make a table
MOST = 0.9  # share of the rows that have equally many cells


def separator(lines: Iterable[str]) -> str | None:
    """The mark between the columns of a table, or None if the lines are a list of words.

    Words may have commas. But if nine lines of ten have equally many, they separate columns, unless
    each is the last of its line. Words in quotation marks are a table of one column.

    Args:
        lines: the first lines, without blank ones.
    """
    lines = list(lines)
    if len(lines) < FEWEST:
        return None
    for mark in MARKS:
        try:
            rows = list(csv.reader(lines, delimiter=mark))
        except csv.Error:
            continue
        # Of "Smith, John" the comma is a part; of "emma, 12" it is not.
        widths = Counter(1 + sum(not re.match(r" \D", cell) for cell in row[1:]) for row in rows)
        width, rows_with = widths.most_common(1)[0]
        filled = any(cell.strip() for row in rows for cell in row[1:])
        if width > 1 and filled and rows_with >= MOST * len(lines):
            return mark
    quoted = sum(line.strip(" ,\t\n")[::-1][:1] == line[:1] == '"' for line in lines)
    return "," if quoted >= MOST * len(lines) else None


def columns(line: str, mark: str) -> list[str]:
    """The cells of a line, without white space around them."""
    return [cell.strip() for cell in next(csv.reader([line], delimiter=mark), [])]


def read_column(
    lines: Iterable[str], column: str, mark: str, path: Path
) -> Iterator[tuple[int, str]]:
    """One cell of each row with the number of its line; "" of a blank row.

    Args:
        lines: the lines, with their ends.
        column: its name in the first row, which is then left out; or its number, from 1, in a table
            without names.
        mark: what separates the columns.
        path: the file, for messages.

    Raises:
        ValueError: no such column, or a row without it; the message names the line.
    """
    rows = csv.reader(lines, delimiter=mark, skipinitialspace=True)
    index, begun = -1, 0
    try:
        for row in rows:
            number, begun = begun + 1, rows.line_num
            where = f"{path}, line {number}"
            if any("\n" in cell for cell in row):
                raise ValueError(
                    f"{where}: the row goes on in line {number + 1}; close its quotation marks"
                )
            if not any(cell.strip() for cell in row):
                yield number, ""
                continue
            if index < 0:
                names = [cell.strip() for cell in row]
                index = _index(names, column, where)
                if column in names:
                    continue
            if len(row) <= index:
                raise ValueError(
                    f"{where} has no column {column!r}, only {len(row)}; complete the row"
                )
            yield number, row[index]
    except csv.Error as error:
        raise ValueError(f"{path}, line {begun + 1}: {error}; close its quotation marks") from None


def _index(names: list[str], column: str, where: str) -> int:
    if column in names:
        return names.index(column)
    if column.isdecimal() and 1 <= int(column) <= len(names):
        return int(column) - 1
    raise ValueError(
        f"{where} has no column {column!r}, only {listed(names)}; correct --data.column"
    )


def listed(names: list[str]) -> str:
    """The names of columns as a message shows them."""
    more = f" and {len(names) - 20} more" if len(names) > 20 else ""
    return " ".join(map(repr, names[:20])) + more

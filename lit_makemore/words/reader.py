"""The words of a file: a word on each line, or a column of a table."""

import codecs
import csv
import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path

MAX_LINE = 1_000  # characters; a longer line is not a word
SEPARATORS = "\t;,"  # of the columns of a table: the first one that is in its first line

COMPOSED = "{:,} words are read in Unicode's normal form NFC, so that é is always one character"
COMMAS = "the comma at the end of {:,} lines is left out"
Changes = dict[str, tuple[int, int]]
"""What was changed, COMPOSED or COMMAS: in how many lines, and the first of them."""


def read_bytes(path: Path) -> bytes:
    """The content of a word list.

    Raises:
        FileNotFoundError: the file does not exist.
    """
    if not path.is_file():
        raise FileNotFoundError(
            f"no word list at {path.absolute()}; name a file with one word per line"
        )
    return path.read_bytes()


def read_lines(
    path: Path,
    content: bytes,
    lowercase: bool,
    strip: bool,
    changes: Changes,
    column: str | None = None,
) -> Iterator[tuple[int, str]]:
    """The words of a file with the numbers of their lines; a word is "" where there is none.

    The file is UTF-8, or UTF-16 with its mark. Lines end with LF, CRLF or CR. Words are in normal
    form NFC.

    Args:
        path: the file, for messages.
        content: its bytes.
        lowercase: whether to convert every word to lower case.
        strip: whether to remove white space from both ends of a word, and commas after it.
        changes: is told what was changed.
        column: the name or the number of a table's column; None if every line is a word.

    Raises:
        ValueError: a line is too long, cannot be decoded or lacks the column.
    """
    text = _decoded(path, content)
    found = enumerate(_lines(text), 1) if column is None else _cells(path, text, column)
    for number, line in found:
        word = line.strip() if strip else line.rstrip("\n")
        if strip and column is None and word.endswith(","):
            word = word.rstrip(", \t")
            _count(COMMAS, number, changes)
        if len(word) > MAX_LINE:
            raise ValueError(
                f"{path}, line {number} is longer than {MAX_LINE} characters; put one word on each "
                "line, or choose a column of a table with --data.column"
            )
        word = word.lower() if lowercase else word
        composed = unicodedata.normalize("NFC", word)
        if composed != word:
            _count(COMPOSED, number, changes)
        yield number, composed


def _count(what: str, number: int, changes: Changes) -> None:
    count, first = changes.get(what, (0, number))
    changes[what] = count + 1, first


def _decoded(path: Path, content: bytes) -> str:
    """The text, with every line end as LF."""
    marked = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    encoding, name = ("utf-16", "UTF-16") if marked else ("utf-8-sig", "UTF-8")
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        before = error.object[: error.start].decode(encoding)
        *earlier, line = re.split("\r\n|\r|\n", before)
        at = len(line.encode("utf-16-le" if marked else "utf-8")) + 1
        raise ValueError(
            f"{path}, line {len(earlier) + 1}: byte {at} is not {name}; convert the file from its "
            "encoding: iconv -f ENCODING -t utf-8 FILE > NEW_FILE"
        ) from None
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _lines(text: str) -> Iterator[str]:
    """The lines with their ends, one at a time."""
    return (match.group() for match in re.finditer(".*\n|.+", text))


def _cells(path: Path, text: str, column: str) -> Iterator[tuple[int, str]]:
    """One cell of each row of a table with the number of its line; "" of a blank row.

    Args:
        path: the file, for messages.
        text: its text.
        column: its name in the first row, which is then left out; or its number, from 1, in a table
            without names.

    Raises:
        ValueError: no such column, or a row without it; the message names the line.
    """
    first = next((line for line in _lines(text) if line.strip()), "")
    separator = next((mark for mark in SEPARATORS if mark in first), ",")
    rows = csv.reader(_lines(text), delimiter=separator, skipinitialspace=True)
    index, begun = -1, 0
    try:
        for row in rows:
            number, begun = begun + 1, rows.line_num
            where, names = f"{path}, line {number}", [cell.strip() for cell in row]
            if any("\n" in cell for cell in row):
                raise ValueError(
                    f"{where}: the row goes on in line {number + 1}; close its quotation marks"
                )
            if not any(names):
                yield number, ""
            elif index < 0:
                index = _index(names, column, where)
                if column not in names:
                    yield number, row[index]
            elif len(row) <= index:
                raise ValueError(
                    f"{where} has no column {column!r}, only {len(row)}; complete the row"
                )
            else:
                yield number, row[index]
    except csv.Error as error:
        raise ValueError(f"{path}, line {begun + 1}: {error}; correct the row") from None


def _index(names: list[str], column: str, where: str) -> int:
    if column in names:
        return names.index(column)
    if column.isdecimal() and 1 <= int(column) <= len(names):
        return int(column) - 1
    listed = " ".join(map(repr, names[:20]))
    raise ValueError(f"{where} has no column {column!r}, only {listed}; correct --data.column")

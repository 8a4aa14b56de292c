"""The words of a file: a word on each line, or a column of a table."""

import codecs
import csv
import os
import re
import sys
import unicodedata
from collections.abc import Iterator
from functools import cache
from io import BytesIO, TextIOWrapper
from pathlib import Path

from lit_makemore.words.formats import check_bytes

DOTTED = "İ", "I\u0307", "i\u0307"  # İ in both forms, and its lower case in Unicode
MAX_BYTES = 2**28  # of a list; it takes about five times as much memory
MAX_LINE = 1_000  # characters; a longer line is not a word
SEPARATORS = "\t;,"  # of the columns of a table: the first one that is in its first line


def read_bytes(path: Path) -> bytes:
    if str(path) != "-" and (path.is_dir() or not path.exists()):
        raise FileNotFoundError(
            f"no word list at {path.absolute()}; name a file with one word per line"
        )
    content = _read(path) if path.is_file() else _piped(path)
    if len(content) > MAX_BYTES:  # or it has no end, as a device
        remedy = "shuf -n 1000000 FILE > NEW_FILE takes a part of it"
        raise ValueError(f"{path} has more than {MAX_BYTES:,} bytes; {remedy}")
    return content


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(MAX_BYTES + 1)


@cache
def _piped(path: Path) -> bytes:
    """What comes through a pipe, which can be read once; "-" is the standard input."""
    if os.environ.get("WORLD_SIZE", "1") != "1":
        raise ValueError(f"{path}: several processes cannot read a pipe; make a file of it")
    return sys.stdin.buffer.read(MAX_BYTES + 1) if str(path) == "-" else _read(path)


def read_lines(
    path: Path, content: bytes, lowercase: bool, strip: bool, column: str | None = None
) -> Iterator[tuple[int, str]]:
    """The words of a file with the numbers of their lines; a word is "" where there is none.

    The content is UTF-8, or UTF-16 with its mark. Lines end with LF, CRLF or CR. Words are in
    normal form NFC. `strip` removes white space from both ends of a word, and commas after it;
    `column` is the name or the number of a table's column, None if every line is a word.
    A file of another kind, or a line that is too long, cannot be decoded or lacks the column,
    raises ValueError.
    """
    check_bytes(path, content)
    lines = _lines(path, content)
    for number, line in enumerate(lines, 1) if column is None else _cells(path, lines, column):
        word = line.strip() if strip else line.rstrip("\n")
        if strip and column is None:
            word = word.rstrip(", \t")
        if len(word) > MAX_LINE:
            raise ValueError(
                f"{path}, line {number} is longer than {MAX_LINE} characters; put one word on each "
                "line, or choose a column of a table with --data.column"
            )
        yield number, unicodedata.normalize("NFC", lowered(word) if lowercase else word)


def lowered(word: str) -> str:
    """The word in lower case. İ becomes i, for which Unicode has an i and a second dot above it."""
    return word.lower().replace("i\u0307", "i")


def _lines(path: Path, content: bytes) -> TextIOWrapper:
    marked = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    encoding, name = ("utf-16", "UTF-16") if marked else ("utf-8-sig", "UTF-8")
    try:
        content.decode(encoding)
    except UnicodeDecodeError as error:
        before = error.object[: error.start].decode(encoding)
        number = len(re.split("\r\n|\r|\n", before))
        raise ValueError(
            f"{path}, line {number} is not {name}; convert the file from its encoding: "
            "iconv -f ENCODING -t utf-8 FILE > NEW_FILE"
        ) from None
    return TextIOWrapper(BytesIO(content), encoding)  # ends every line with LF


def _cells(path: Path, lines: TextIOWrapper, column: str) -> Iterator[tuple[int, str]]:
    """A cell of each row with the number of its line; "" of a blank row, none of the names' row."""
    first = next((line for line in lines if line.strip()), "")
    separator = next((mark for mark in SEPARATORS if mark in first), ",")
    lines.seek(0)
    rows, index = csv.reader(lines, delimiter=separator, skipinitialspace=True), None
    try:
        for number, row in enumerate(rows, 1):
            where, names = f"{path}, line {number}", [cell.strip() for cell in row]
            if rows.line_num > number:
                raise ValueError(
                    f"{where}: the row goes on in line {number + 1}; close its quotation marks"
                )
            if not any(names):
                yield number, ""
                continue
            if index is None:
                index = _index(names, column, where)
                if column in names:
                    continue
            if len(row) <= index:
                raise ValueError(
                    f"{where} has no column {column!r}, only {len(row)}; complete the row"
                )
            yield number, row[index]
    except csv.Error as error:
        raise ValueError(f"{path}, line {rows.line_num}: {error}; correct the row") from None


def _index(names: list[str], column: str, where: str) -> int:
    if column in names:
        return names.index(column)
    if column.isdecimal() and 1 <= int(column) <= len(names):
        return int(column) - 1
    listed = " ".join(map(repr, names[:20]))
    raise ValueError(f"{where} has no column {column!r}, only {listed}; correct --data.column")

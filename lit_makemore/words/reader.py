"""The words of a file: a word on each line, or a column of a table."""

import codecs
import csv
import json
import os
import re
import sys
import unicodedata
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from io import BytesIO, TextIOWrapper
from pathlib import Path
from typing import Any

from lit_makemore.words.formats import check_bytes, separator

DOTTED = "İ", "I\u0307", "i\u0307"  # İ in both forms, and its lower case in Unicode
MAX_BYTES = 2**28  # of a list; it takes about five times as much memory
MAX_LINE = 1_000  # characters; a longer line is not a word
LATIN, OTHER = ("cp1252", "cp1250"), ("cp1251", "koi8-r", "shift-jis", "euc-kr", "gbk", "big5")
READABLE = re.compile(r"(?!.*[a-zа-я][À-ÞŽА-Я])[\w\0-\x7f’]*")  # no capital after a small letter


@dataclass(frozen=True)
class Reading:
    """How a list is read, by options of the data module."""

    lowercase: bool = False
    strip: bool = True  # removes white space from both ends of a word, and commas after it
    column: str | None = None  # None: every line is a word
    count: str | None = None
    encoding: str | None = None  # None: UTF-8, or UTF-16 with its mark


def read_bytes(path: Path) -> bytes:
    if str(path) != "-" and (path.is_dir() or not path.exists()):
        remedy = "name a file with one word per line"
        raise FileNotFoundError(f"no word list at {path.absolute()}; {remedy}")
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


def read_lines(path: Path, content: bytes, how: Reading) -> Iterator[tuple[int, str, float]]:
    """The number of each line, its word in normal form NFC and its count; "" and 0 for no word."""
    if how.encoding is not None:
        content = _utf8(path, content, how.encoding)
    check_bytes(path, content, how.column)
    marked = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    content = _utf8(path, content, "utf-16" if marked else "utf-8")
    lines = TextIOWrapper(BytesIO(content), "utf-8-sig")  # ends every line with LF
    cells = ((i, line, 1.0) for i, line in enumerate(lines, 1))
    for number, cell, count in cells if how.column is None else _cells(path, lines, how):
        word = cell.strip() if how.strip else cell.rstrip("\n")
        if how.strip and how.column is None:
            word = word.rstrip(", \t")
        if len(word) > MAX_LINE:
            remedy = "put one word on each line, or choose a column of a table with --data.column"
            raise ValueError(
                f"{path}, line {number} is longer than {MAX_LINE} characters; {remedy}"
            )
        word = unicodedata.normalize("NFC", lowered(word) if how.lowercase else word)
        yield number, word, count if word else 0


def lowered(word: str) -> str:
    """The word in lower case. İ becomes i, for which Unicode has an i and a second dot above it."""
    return word.lower().replace("i\u0307", "i")


def _utf8(path: Path, content: bytes, encoding: str) -> bytes:
    """The content in UTF-8; if it is not in this encoding, an error says in which it may be."""
    try:
        text = content.decode(encoding)
        return content if encoding == "utf-8" else text.encode()
    except UnicodeDecodeError as error:
        start = error.start
    except (LookupError, ValueError):
        raise ValueError(f"--data.encoding {encoding!r} is none of text, as cp1252 is") from None
    number = len(re.split("\r\n|\r|\n", content[:start].decode(encoding, "ignore")))
    line = content[: start + 99].splitlines()[number - 1]
    names = OTHER if re.search(rb"[\x80-\xff]{3}", line) else LATIN
    read = {line.decode(name, "replace")[:30]: name for name in reversed(names)}
    told = [f"--data.encoding {read[t]} reads {t!r}" for t in read if READABLE.fullmatch(t)][:-4:-1]
    told.append("convert the file from its encoding: iconv -f ENCODING -t utf-8 FILE > NEW_FILE")
    raise ValueError(f"{path}, line {number} is not {encoding.upper()}; {', or '.join(told)}")


def _cells(path: Path, lines: TextIOWrapper, how: Reading) -> Iterator[tuple[int, str, float]]:
    """Each row of a table that is not blank: the line in which it begins, the word, the count."""
    columns, number = [name for name in (how.column, how.count) if name is not None], 0
    try:
        for number, row in _rows(lines, columns):
            where = f"{path}, line {number}"
            if bad := [x for x in columns if isinstance(row.get(x, []), bool | dict | list)]:
                names = " ".join(map(repr, list(row)[:20]))
                raise ValueError(f"{where} has no text in column {bad[0]!r}; its columns: {names}")
            word, *count = ["" if row[name] is None else str(row[name]) for name in columns]
            yield number, word, _count(where, *count)
    except (csv.Error, json.JSONDecodeError, TypeError, RecursionError) as error:
        told = str(error).partition(": line")[0]
        raise ValueError(f"{path}, the row after line {number}: {told}; correct it") from None


def _rows(lines: TextIOWrapper, columns: list[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Rows of JSON lines, or of a CSV by the names in its first one, or else by numbers from 1."""
    first = next(filter(str.strip, lines), "")
    lines.seek(0)
    if re.match(r'\s*\{ *"', first):
        yield from ((i, {**json.loads(line)}) for i, line in enumerate(lines, 1) if line.strip())
        return
    rows = csv.reader(lines, delimiter=separator(first), skipinitialspace=True, strict=True)
    names, end = list[str](), 0
    for row in rows:
        begin, end, cells = end + 1, rows.line_num, [cell.strip() for cell in row]
        if any(cells) and not names:
            if {*columns} & {*cells} or not "".join(columns).isdecimal():
                names = cells
                continue
            names = [str(i + 1) for i in range(len(row))]
        if any(cells):
            yield begin, dict(zip(names, row, strict=False))


def _count(where: str, text: str = "1") -> float:
    with suppress(ValueError):
        if 0 <= float(text) < 1e15:
            return float(text)
    raise ValueError(f"{where}: {text!r} is no count; write a number such as 1234")

"""The words of a text file: its encoding, its line ends, one spelling for one word."""

import codecs
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TextIO

from lit_makemore.words.table import read_column, separator

MAX_LINE = 1_000  # characters; a longer line is not a word
MAX_ROW = 100_000  # characters; a row of a table has other columns, too

# A reader sees none of these, and no word is spelled with one: zero-width space, word joiner,
# byte-order mark, soft hyphen, and the marks that change the direction of writing.
INVISIBLE = "\u200b\u2060\ufeff\u00ad\u200e\u200f\u061c\u202a\u202b\u202c\u202d\u202e" + (
    "\u2066\u2067\u2068\u2069"
)
# Joiners are spelling between the letters of Persian, Hindi or emoji, and nothing beside ASCII or
# at the end of a word.
_IDLE_JOINERS = re.compile("(?<![^\x00-\x7f])[\u200c\u200d]+|[\u200c\u200d]+(?![^\x00-\x7f])")
_REMOVE_INVISIBLE = dict.fromkeys(map(ord, INVISIBLE))


@dataclass
class Changes:
    """How many lines were changed as they were read, and the first of them; 0 for none."""

    composed: int = 0
    first_composed: int = 0
    visible: int = 0
    first_visible: int = 0
    commas: int = 0
    first_commas: int = 0

    def notes(self, path: Path) -> tuple[str, ...]:
        """A sentence for each kind of change."""
        notes = []
        if self.composed:
            notes.append(
                f"{path}: {self.composed:,} words are read in Unicode's normal form NFC, so that "
                f"é is always one character (first in line {self.first_composed})"
            )
        if self.visible:
            notes.append(
                f"{path}: invisible characters are left out of {self.visible:,} words "
                f"(first in line {self.first_visible})"
            )
        if self.commas:
            notes.append(
                f"{path}: the comma at the end of {self.commas:,} lines is left out "
                f"(first in line {self.first_commas})"
            )
        return tuple(notes)


def read_lines(
    path: Path, lowercase: bool, strip: bool, changes: Changes, column: str | None = None
) -> Iterator[tuple[int, str]]:
    """The words of a file with their lines' numbers; a word is "" where there is none.

    Words are in normal form NFC, without invisible characters. The file is UTF-8, or UTF-16 that
    can be recognised. Lines end with LF, CRLF or CR.

    Args:
        path: the file.
        lowercase: whether to convert every word to lower case.
        strip: whether to remove white space from both ends of a line, and commas from its end.
        changes: is told what was changed.
        column: the name or the number of a table's column, see `table.read_column`; None if every
            line is a word.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: a line is too long, cannot be decoded or lacks the column.
    """
    found: Iterator[tuple[int, str]]
    if column is None:
        found = enumerate(_decoded(path, MAX_LINE), 1)
    else:
        mark = separator(head(path, MAX_ROW)) or ","
        found = read_column(_decoded(path, MAX_ROW), column, mark, path)
    for number, line in found:
        word = line.rstrip("\n")
        word = word if word.isascii() else _visible(word, number, changes)
        word = word.strip() if strip else word
        if strip and column is None and word.endswith(","):
            word = _without_comma(word, number, changes)
        if len(word) > MAX_LINE:
            raise _too_long(path, number)
        word = word.lower() if lowercase else word
        yield number, word if word.isascii() else _composed(word, number, changes)


def head(path: Path, longest: int = MAX_LINE) -> list[str]:
    """The first thousand lines of a file, without blank ones."""
    return [line for line in islice(_decoded(path, longest), 1000) if line.strip()]


def _decoded(path: Path, longest: int) -> Iterator[str]:
    """The lines with their ends; raises as `read_lines` does."""
    if not path.is_file():
        raise FileNotFoundError(
            f"no word list at {path.absolute()}; name a file with one word per line"
        )
    with path.open(encoding=_encoding(path), errors="surrogateescape") as file:
        for number, line in enumerate(_pieces(file, path, longest), 1):
            if not line.isascii():
                _check_decoded(line, f"{path}, line {number}")
            if len(line.rstrip("\n")) > longest:
                raise _too_long(path, number)
            yield line


def _too_long(path: Path, number: int) -> ValueError:
    return ValueError(
        f"{path}, line {number} is longer than {MAX_LINE} characters; put one word on each line, "
        "or choose a column of a table with --data.column"
    )


def _pieces(file: TextIO, path: Path, longest: int) -> Iterator[str]:
    """The lines, each as far as is needed to see whether it is too long."""
    try:
        yield from iter(lambda: file.readline(longest + 2), "")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path} begins as UTF-16 and is not: {error.reason}; write it as UTF-8"
        ) from None


def _without_comma(word: str, number: int, changes: Changes) -> str:
    changes.commas += 1
    changes.first_commas = changes.first_commas or number
    return word.rstrip(", \t")


def _visible(word: str, number: int, changes: Changes) -> str:
    visible = _IDLE_JOINERS.sub("", word.translate(_REMOVE_INVISIBLE))
    if visible != word:
        changes.visible += 1
        changes.first_visible = changes.first_visible or number
    return visible


def _composed(word: str, number: int, changes: Changes) -> str:
    composed = unicodedata.normalize("NFC", word)
    if composed != word:
        changes.composed += 1
        changes.first_composed = changes.first_composed or number
    return composed


def _check_decoded(word: str, where: str) -> None:
    """Bytes that cannot be decoded have become lone surrogates."""
    bad = next((i for i, c in enumerate(word) if "\ud800" <= c <= "\udfff"), None)
    if bad is not None:
        at = len(word[:bad].encode()) + 1
        raise ValueError(
            f"{where}: byte {at} is not UTF-8; convert the file from its encoding: "
            "iconv -f ENCODING -t utf-8 FILE > NEW_FILE"
        )


def _encoding(path: Path) -> str:
    """The name of the file's encoding: UTF-16 if it has its mark or its NULs, otherwise UTF-8."""
    with path.open("rb") as file:
        head = file.read(4096)
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    if b"\0" in head:
        for encoding in ("utf-16-le", "utf-16-be"):
            text = head[: len(head) // 2 * 2].decode(encoding, "replace")
            if "\n" in text and not {"\0", "\ufffd"} & {*text[:-1]}:
                return encoding
    return "utf-8-sig"

"""Word lists: reading and checking a file; downloading makemore's list of names."""

import hashlib
import re
import sys
import unicodedata
import urllib.error
import urllib.request
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from http.client import HTTPException
from io import StringIO
from pathlib import Path
from typing import IO
from weakref import WeakValueDictionary

import torch
from torch import Tensor

from lit_makemore.files import replacing
from lit_makemore.words.lines import Changes, head, read_lines
from lit_makemore.words.table import columns, listed, separator
from lit_makemore.words.vocab import END

NAMES_PATH = "data/names.txt"
NAMES_URL = "https://raw.githubusercontent.com/karpathy/makemore/master/names.txt"
NAMES_SHA256 = "0a30b5557f192f32ab962680889aac5f6fda0f4cecf40a6d0b5694f58ea8cc4d"

MAX_FETCH = 16 * 2**20  # bytes
MIN_WORDS = 10
MAX_CHARS = 10_000


@dataclass(frozen=True)
class Corpus:
    """The words of a file, in order, as one string: "emma\\nolivia\\nava\\n".

    One string needs one byte per character; a list of words would need about nine.

    Args:
        path: the file.
        text: the words, each followed by the end mark.
        chars: the distinct characters, sorted, without the end mark.
        n_words: the number of words.
        blank_lines: the number of blank lines, which are skipped.
        sha256: the checksum of the file's bytes.
        notes: what was changed in the words, a sentence each.
    """

    path: str
    text: str
    chars: str
    n_words: int
    blank_lines: int
    sha256: str
    notes: tuple[str, ...] = ()

    def words(self) -> Iterator[str]:
        """The words, one at a time."""
        return (match.group() for match in re.finditer(f"[^{re.escape(END)}]+", self.text))


def read_corpus(
    path: str | Path, lowercase: bool = False, strip: bool = True, column: str | None = None
) -> Corpus:
    """Reads a file with one word per line, or a column of a table, as `read_lines` does.

    Skips blank lines. A list that is in use and has not changed since is not read again.

    Args:
        path: the file.
        lowercase: whether to convert every word to lower case.
        strip: whether to remove white space from both ends of a line, and commas from its end.
        column: the column of a table, by its name or its number.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: a line is not a word, or there are too few words. The message names the file,
            the line and what to do.
    """
    path, changes = Path(path), Changes()
    status = path.stat() if path.is_file() else None
    options = str(path), lowercase, strip, column, status and (status.st_mtime_ns, status.st_size)
    if options in _in_use:
        return _in_use[options]
    if column is None:
        _check_no_table(path)
    text, n_words, blank, number = StringIO(), 0, 0, 0
    words = partial(read_lines, path, lowercase, strip, column=column)
    for number, word in words(changes):
        if word:
            _check(word, f"{path}, line {number}")
            text.write(word + END)
            n_words += 1
        else:
            blank += 1
    if n_words < MIN_WORDS:
        raise ValueError(
            f"{path} ends after line {number} with {n_words} words; at least {MIN_WORDS} are "
            "needed, one per line"
        )
    joined = text.getvalue()
    chars = sorted(set(joined) - {END})
    if len(chars) > MAX_CHARS:
        raise ValueError(
            f"{path} has {len(chars):,} distinct characters; at most {MAX_CHARS:,} are possible, "
            f"since the network must see each many times; line {_beyond(words(Changes()))} has the "
            "first above that"
        )
    notes = changes.notes(path)
    found = Corpus(str(path), joined, "".join(chars), n_words, blank, _sha256(path), notes)
    _in_use[options] = found
    return found


# A run and its teachers share the list that was read, as long as one of them holds it.
_in_use: WeakValueDictionary[tuple[object, ...], Corpus] = WeakValueDictionary()


def read_words(path: str | Path, lowercase: bool = False, strip: bool = True) -> list[str]:
    """The words of a file, to be scored: any words, without blank lines.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: a line is too long or not UTF-8.
    """
    return [word for _, word in read_lines(Path(path), lowercase, strip, Changes()) if word]


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(2**20):
            digest.update(chunk)
    return digest.hexdigest()


def _check_no_table(path: Path) -> None:
    lines = head(path)
    if mark := separator(lines):
        found = listed(columns(lines[0], mark))
        raise ValueError(
            f"{path} is a table, with these columns in its first line: {found}; choose one with "
            "--data.column NAME, or with its number from 1 if these are no names"
        )


def _beyond(words: Iterator[tuple[int, str]]) -> int:
    """The line in which the characters become more than MAX_CHARS."""
    seen: set[str] = set()
    for number, word in words:
        seen |= {*word}
        if len(seen) > MAX_CHARS:
            return number
    raise AssertionError("called for a list with too many characters")


def _check(word: str, where: str) -> None:
    if word.lower().startswith(("<!doctype", "<html")):
        raise ValueError(f"{where}: this is a web page, not a word list; download the raw file")
    if "\t" in word:
        raise ValueError(f"{where}: {word!r} contains a tab; put one word on each line")
    if any(unicodedata.category(c) == "Cc" for c in word):
        raise ValueError(f"{where}: {word!r} contains a control character; remove it")


def word_hashes(words: Iterator[str]) -> Tensor:
    """The hash of each word, (words,) int64: enough to tell whether a word was trained on."""
    values = array("q", map(word_hash, words))
    return torch.frombuffer(values, dtype=torch.int64) if values else torch.empty(0).long()


def are_among(words: Iterable[str], hashes: Tensor) -> Tensor:
    """Whether each word is among those with these hashes, (words,) bool."""
    return torch.isin(word_hashes(iter(words)), hashes)


def word_hash(word: str) -> int:
    """BLAKE2b of the word's UTF-8 bytes, cut to a signed 64-bit integer."""
    digest = hashlib.blake2b(word.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little", signed=True)


def fetch(
    path: str | Path = NAMES_PATH,
    url: str = NAMES_URL,
    sha256: str = NAMES_SHA256,
    max_bytes: int = MAX_FETCH,
    timeout: float = 20.0,
) -> None:
    """Downloads url to path unless path exists. Several processes may do this at the same time.

    The file gets its name only when it is complete and its checksum is right.

    Raises:
        ConnectionError: the address cannot be reached or answers with an error.
        ValueError: the file is too large or has another checksum.
    """
    path = Path(path)
    if path.exists():
        return
    try:
        with replacing(path) as out:
            digest = _download(url, out, max_bytes, timeout)
            if digest != sha256:
                raise ValueError(
                    f"{url} has the sha256 {digest}, not {sha256}; put the right file at {path}"
                )
    except (OSError, HTTPException) as error:
        if isinstance(error, urllib.error.HTTPError):
            error.close()
        raise ConnectionError(
            f"cannot download {url} ({getattr(error, 'reason', error)}); put the file at "
            f"{path.absolute()}, or train on the list that ships with the project: "
            "--config configs/quickstart.yaml"
        ) from error


def _download(url: str, out: IO[bytes], max_bytes: int, timeout: float) -> str:
    digest, received = hashlib.sha256(), 0
    with urllib.request.urlopen(url, timeout=timeout) as response:
        total = int(response.headers.get("Content-Length") or 0)
        while chunk := response.read(2**16):
            received += len(chunk)
            if received > max_bytes:
                raise ValueError(
                    f"{url} is larger than {max_bytes:,} bytes: it is not the word list"
                )
            digest.update(chunk)
            out.write(chunk)
            if sys.stderr.isatty():
                share = f" of {total:,}" if total else ""
                print(f"\rdownloading {url}: {received:,}{share} bytes", end="", file=sys.stderr)
    if sys.stderr.isatty():
        print(file=sys.stderr)
    else:
        print(f"downloaded {url}: {received:,} bytes", file=sys.stderr)
    return digest.hexdigest()

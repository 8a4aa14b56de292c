"""Word lists: reading and checking a file, fetching makemore's."""

import hashlib
import re
import sys
import unicodedata
import urllib.error
import urllib.request
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPException
from io import StringIO
from pathlib import Path
from typing import IO

import torch
from torch import Tensor

from lit_makemore.atomic import replacing
from lit_makemore.words.vocab import END

NAMES_PATH = "data/names.txt"
NAMES_URL = "https://raw.githubusercontent.com/karpathy/makemore/master/names.txt"
NAMES_SHA256 = "0a30b5557f192f32ab962680889aac5f6fda0f4cecf40a6d0b5694f58ea8cc4d"

MAX_LINE = 1_000  # bytes; a longer line is no word
MAX_FETCH = 16 * 2**20  # bytes
MIN_WORDS = 10
MAX_CHARS = 10_000


@dataclass(frozen=True)
class Corpus:
    """The words of a file, in its order, as one string that ends every word: "emma.olivia.ava."

    One string takes a byte a character; a list of words would take some nine.

    Args:
        path: the file.
        text: the words, each followed by the end mark.
        chars: their distinct characters, sorted, without the end mark.
        n_words: how many words.
        blank_lines: how many lines were left out for being blank.
        sha256: of the file's bytes.
    """

    path: str
    text: str
    chars: str
    n_words: int
    blank_lines: int
    sha256: str

    def words(self) -> Iterator[str]:
        """The words, one at a time."""
        return (match.group() for match in re.finditer(f"[^{re.escape(END)}]+", self.text))


def read_corpus(path: str | Path, lowercase: bool = False, strip: bool = True) -> Corpus:
    """Reads a UTF-8 file of one word a line; a byte-order mark, CRLF and blank lines do no harm.

    Args:
        path: the file.
        lowercase: whether to make every word lower-case.
        strip: whether to take white space off both ends of a line.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a line that is no word, or too few words; names file, line and remedy.
    """
    path = Path(path)
    text, n_words, blank, digest = StringIO(), 0, 0, hashlib.sha256()
    for number, (raw, word) in enumerate(_lines(path, lowercase, strip), 1):
        digest.update(raw)
        if word:
            _check(word, f"{path}, line {number}")
            text.write(word + END)
            n_words += 1
        else:
            blank += 1
    if n_words < MIN_WORDS:
        raise ValueError(f"{path} has {n_words} words; at least {MIN_WORDS} are needed, one a line")
    joined = text.getvalue()
    chars = sorted(set(joined) - {END})
    if len(chars) > MAX_CHARS:
        raise ValueError(
            f"{path} has {len(chars):,} distinct characters; a network that spells needs an "
            f"alphabet of at most {MAX_CHARS:,}, each seen many times"
        )
    return Corpus(str(path), joined, "".join(chars), n_words, blank, digest.hexdigest())


def read_words(path: str | Path, lowercase: bool = False, strip: bool = True) -> list[str]:
    """The words of a file as they are, blank lines left out; for scoring, so any word will do.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a line too long or not UTF-8.
    """
    return [word for _, word in _lines(Path(path), lowercase, strip) if word]


def _lines(path: Path, lowercase: bool, strip: bool) -> Iterator[tuple[bytes, str]]:
    """Each line's bytes and its word."""
    if not path.is_file():
        raise FileNotFoundError(f"no word list at {path}; it takes a file with one word a line")
    with path.open("rb") as file:
        for number, raw in enumerate(iter(lambda: file.readline(MAX_LINE + 1), b""), 1):
            where = f"{path}, line {number}"
            if len(raw) > MAX_LINE:
                raise ValueError(
                    f"{where} is longer than {MAX_LINE} bytes; put one word on each line"
                )
            try:
                word = raw.decode("utf-8-sig").rstrip("\r\n")
            except UnicodeDecodeError as error:
                raise ValueError(
                    f"{where}: byte {error.start + 1} is not UTF-8; "
                    "convert the file, for example with: iconv -f latin1 -t utf-8"
                ) from None
            word = word.strip() if strip else word
            yield raw, word.lower() if lowercase else word


def _check(word: str, where: str) -> None:
    if word.lower().startswith(("<!doctype", "<html")):
        raise ValueError(f"{where}: this is a web page, not a word list; download the raw file")
    if END in word:
        raise ValueError(
            f"{where}: {word!r} contains {END!r}, the mark of a word's end; take it out"
        )
    if any(unicodedata.category(c) == "Cc" for c in word):
        raise ValueError(f"{where}: {word!r} contains a control character; take it out")


def word_hashes(words: Iterator[str]) -> Tensor:
    """A hash per word, (words,) int64: enough to tell whether a word was trained on."""
    values = array("q", map(word_hash, words))
    return torch.frombuffer(values, dtype=torch.int64) if values else torch.empty(0).long()


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
    """Downloads url to path unless path exists; any number of processes may do so at once.

    The file appears under its name only when it is whole and its checksum is right.

    Raises:
        ConnectionError: the address cannot be reached or answers with an error.
        ValueError: what came is too large or has another checksum.
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
            f"cannot fetch {url} ({getattr(error, 'reason', error)}); put the file at {path}, "
            "or train on the list that ships with the project: "
            "python train.py fit --config configs/quickstart.yaml"
        ) from error


def _download(url: str, out: IO[bytes], max_bytes: int, timeout: float) -> str:
    digest, received = hashlib.sha256(), 0
    with urllib.request.urlopen(url, timeout=timeout) as response:
        total = int(response.headers.get("Content-Length") or 0)
        while chunk := response.read(2**16):
            received += len(chunk)
            if received > max_bytes:
                raise ValueError(
                    f"{url} is larger than {max_bytes:,} bytes; that is not the word list"
                )
            digest.update(chunk)
            out.write(chunk)
            if sys.stderr.isatty():
                share = f" of {total:,}" if total else ""
                print(f"\rfetching {url}: {received:,}{share} bytes", end="", file=sys.stderr)
    if sys.stderr.isatty():
        print(file=sys.stderr)
    else:
        print(f"fetched {url}: {received:,} bytes", file=sys.stderr)
    return digest.hexdigest()

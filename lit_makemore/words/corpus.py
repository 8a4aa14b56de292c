"""Word lists: reading and checking a file; downloading makemore's list of names."""

import hashlib
import re
import sys
import urllib.error
import urllib.request
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from http.client import HTTPException
from io import StringIO
from itertools import chain, islice
from pathlib import Path

import torch
from torch import Tensor

from lit_makemore.files import replacing
from lit_makemore.words.formats import FIRST, check_lines
from lit_makemore.words.reader import DOTTED, Reading, read_bytes, read_lines
from lit_makemore.words.vocab import CONTROL, END, MAX_CHARS

NAMES_PATH = "data/names.txt"
NAMES_URL = "https://raw.githubusercontent.com/karpathy/makemore/master/names.txt"
NAMES_SHA256 = "0a30b5557f192f32ab962680889aac5f6fda0f4cecf40a6d0b5694f58ea8cc4d"

MAX_FETCH = 16 * 2**20  # bytes; of a longer file the checksum is wrong
MIN_WORDS = 10  # distinct ones
MOST_TIMES = 16
_NO_WORD = hashlib.blake2b(digest_size=8)


@dataclass(frozen=True)
class Corpus:
    """The words of a file, in order, as one string, in a ninth of the memory of a list of words."""

    text: str  # each word is followed by the end mark: "emma\nolivia\nava\n"
    chars: str  # the distinct ones, sorted, without the end mark
    n_words: int
    blank_lines: int  # are skipped
    sha256: str  # of the file's bytes
    times: Tensor | None  # how often each is learnt, (words,) int64; None if once
    notes: list[str]  # what is odd in the words, a sentence each

    @property
    def is_names(self) -> bool:
        """Whether it is makemore's names.txt as it is, which published losses are of."""
        return self.sha256 == NAMES_SHA256

    def words(self) -> Iterator[str]:
        return (match.group() for match in re.finditer(f"[^{re.escape(END)}]+", self.text))


def read_corpus(path: str | Path, how: Reading = Reading()) -> Corpus:
    """The words of a file, as `read_lines` reads them, without blank lines; the last one is kept.

    With counts, rows of one word are one, their counts are added up, and a word is learnt
    1 + log2(its count / the smallest count) times, rounded, at most MOST_TIMES.
    """
    return _read_corpus(Path(path), read_bytes(Path(path)), how)


@lru_cache(maxsize=1)
def _read_corpus(path: Path, content: bytes, how: Reading) -> Corpus:
    text, blank, number = StringIO(), 0, 0
    counts: dict[str, float] = {}  # of all words; without counts, of the first distinct ones
    lines = read_lines(path, content, how)
    first = list(islice(lines, FIRST))
    if how.column is None:
        check_lines(path, [word for _, word, _ in first])
    for number, word, count in chain(first, lines):
        if not count:
            blank += 1
            continue
        if CONTROL.search(word):
            told = "a control character; remove it, or convert the file to UTF-8"
            if found := re.search("[\t\n]", word):
                told = "a tab" if found[0] == "\t" else "a line break"
                told += "; put one word on each line, or choose a column with --data.column"
            raise ValueError(f"{path}, line {number}: {word!r} contains {told}")
        if how.count is None or word not in counts:
            text.write(word + END)
        if how.count is not None or len(counts) < MIN_WORDS:
            counts[word] = counts.get(word, 0) + count
    joined = text.getvalue()
    chars, n_words = sorted({*joined} - {END}), joined.count(END)
    if len(counts) < MIN_WORDS:
        told = f"{len(counts)}, needed: {MIN_WORDS} at least, one per line"
        told += f" (none on {blank} lines, or with count 0)"
        raise ValueError(f"{path} ends in line {number}; distinct words by then: {told}")
    if len(chars) > MAX_CHARS:
        told = f"more than {MAX_CHARS:,} are not possible: a network must see each many times"
        raise ValueError(f"{path} has {len(chars):,} distinct characters; {told}")
    times = None
    if how.count is not None:
        of = torch.tensor([*counts.values()], dtype=torch.float64)
        times = (1 + (of / of.min()).log2()).round().clamp(max=MOST_TIMES).long()
    notes = []
    if how.column is None and not re.search(f'^[^,;"{END}]+$', joined, re.M):
        notes.append(f'{path}: every word has one of , ; "; of a table, choose --data.column')
    if how.lowercase and any(letter.encode() in content for letter in DOTTED):
        notes.append(f"{path}: İ becomes i, without a second dot")
    digest = hashlib.sha256(content).hexdigest()
    return Corpus(joined, "".join(chars), n_words, blank, digest, times, notes)


def read_words(path: str | Path, how: Reading = Reading()) -> list[str]:
    """The lines of a file, to be scored: any, but blank ones; raises as `read_lines`."""
    how = replace(how, column=None, count=None)
    lines = read_lines(Path(path), read_bytes(Path(path)), how)
    return [word for _, word, _ in lines if word]


def word_hash(word: str) -> int:
    """BLAKE2b of the word's UTF-8 bytes, cut to a signed 64-bit integer."""
    (one := _NO_WORD.copy()).update(word.encode())  # twice as fast as a new one
    return int.from_bytes(one.digest(), "little", signed=True)


def word_hashes(words: Iterable[str]) -> Tensor:
    """The hash of each word, (words,) int64."""
    values = array("q", map(word_hash, words))
    return torch.frombuffer(values, dtype=torch.int64) if values else torch.empty(0).long()


def are_among(words: Iterable[str], hashes: Tensor) -> Tensor:
    """Whether each word is among those with these hashes, (words,) bool."""
    return torch.isin(word_hashes(words), hashes)


def fetch(path: str | Path = NAMES_PATH, url: str = NAMES_URL, sha256: str = NAMES_SHA256) -> None:
    """Downloads url to path unless path exists; several processes may do so at the same time."""
    if (path := Path(path)).exists():
        return
    try:
        with urllib.request.urlopen(url, timeout=20) as response:
            content = response.read(MAX_FETCH)
    except (OSError, HTTPException) as error:
        if isinstance(error, urllib.error.HTTPError):
            error.close()
        remedy = f"put the file at {path.absolute()}, or train on the list that ships with the "
        remedy += "project: --config configs/quickstart.yaml"
        why = getattr(error, "reason", error)
        raise ConnectionError(f"cannot download {url} ({why}); {remedy}") from error
    if (digest := hashlib.sha256(content).hexdigest()) != sha256:
        raise ValueError(f"{url} has sha256 {digest}, not {sha256}; put the right file at {path}")
    with replacing(path) as file:
        file.write(content)
    print(f"downloaded {url}: {len(content):,} bytes", file=sys.stderr)

"""Names as they were asked for: what a sampler draws, without those that are not wanted.

Words of the list, and words one edit away from one, are found by their hashes alone.
"""

import sys
import unicodedata
from collections.abc import Iterable, Iterator
from functools import lru_cache

import torch
from torch import Tensor

from lit_makemore.sampling.arguments import ArgumentError
from lit_makemore.sampling.sampler import GIVE_UP, Draw, Sampler
from lit_makemore.words.corpus import word_hash

BITS = 10  # of a word in a WordFilter
POSITIONS = 7  # of a word; ln 2 · BITS has the lowest error rate


def seeded(seed: int | None) -> torch.Generator:
    """A source of random numbers on the CPU; without a seed another one every time."""
    if seed is not None and not -(2**63) <= seed < 2**64:
        raise ArgumentError(f"--seed {seed} does not fit into 64 bits")
    generator = torch.Generator()
    generator.manual_seed(generator.seed() if seed is None else seed)
    return generator


def generate(
    sampler: Sampler,
    num: int,
    generator: torch.Generator,
    list_hashes: Tensor,
    unique: bool = False,
    only_new: bool = False,
    not_near: bool = False,
    exclude: Iterable[str] = (),
) -> Iterator[Draw]:
    """Draws num names in batches, as `sampler.draw` does, with a generator on the CPU.

    `unique` draws each name once; `only_new` no words of the list, which have the list_hashes
    (words,); `not_near` nor any name within one edit of one; `exclude` no name that contains one of
    these texts, whatever their case. ValueError if too many names in a row are not wanted.
    """
    if num < 1:
        raise ArgumentError(f"--num must be at least 1, not {num}")
    if isinstance(exclude, str):
        raise ArgumentError(f"--exclude takes a list of words: [{exclude!r}] for one")
    texts = {unicodedata.normalize("NFC", text).casefold() for text in exclude} - {""}
    longest, listed = max(map(len, texts), default=0), set(list_hashes.tolist())

    @lru_cache(2**16)
    def is_wanted(name: str) -> bool:
        folded = name.casefold()
        pieces = (folded[i : i + n] for i in range(len(folded)) for n in range(1, longest + 1))
        if name == "" or not texts.isdisjoint(pieces):
            return False
        if not_near:
            return not is_near(name, sampler.vocab.chars, listed)
        return not (only_new and word_hash(name) in listed)

    seen, since, draws = set[str](), sampler.tried, sampler.draw(sys.maxsize, generator)
    while num > 0:
        chosen, draw = list[int](), next(draws)
        for i, name in enumerate(draw.names):
            if len(chosen) < num and name not in seen and is_wanted(name):
                chosen.append(i)
                if unique:
                    seen.add(name)
        since = sampler.tried if chosen else since
        if (barren := sampler.tried - since) >= GIVE_UP * sampler.batch:
            if n := len(seen):
                raise ArgumentError(f"{n:,} different names were found; ask for fewer: --num {n}")
            remedy = "raise --top_p or --temperature or leave out --only_new, --not_near, --exclude"
            raise ArgumentError(f"none of {barren:,} names is wanted; {remedy}")
        yield draw.at(chosen)
        num -= len(chosen)


def ranked(draws: Iterable[Draw], best: int | None) -> Iterable[Draw]:
    """The best different names by log-probability a character, end mark included; None: all."""
    if best is None:
        return draws
    found = list(draws)
    names = [name for draw in found for name in draw.names]
    if not 1 <= best <= len(names):
        raise ArgumentError(f"--best must lie between 1 and --num, not {best}")
    scores = torch.cat([draw.log_probabilities for draw in found])
    cut = torch.cat([draw.cut for draw in found])
    each = (scores / torch.tensor([len(name) + 1 for name in names])).tolist()
    places = {name: i for i, name in enumerate(names) if not cut[i]}.values()  # ended
    return [Draw(names, scores, cut).at(sorted(places, key=lambda i: -each[i])[:best])]


def within_one_edit(word: str, chars: str) -> Iterator[str]:
    """The word and all words that one edit makes of it, some of them more than once.

    An edit inserts, deletes or replaces one character (Levenshtein, 1966); `chars` may be inserted.
    """
    yield word
    for i in range(len(word) + 1):
        before, after = word[:i], word[i:]
        yield from (before + c + after for c in chars)
        if after:
            yield before + after[1:]
            yield from (before + c + after[1:] for c in chars)


def is_near(word: str, chars: str, hashes: set[int]) -> bool:
    """Whether a word is within one edit of a word that has one of the hashes."""
    return not hashes.isdisjoint(map(word_hash, within_one_edit(word, chars)))


class WordFilter:
    """A Bloom filter (Bloom, 1970): a set of words, given by hashes (W,), in ten bits a word.

    A word sets POSITIONS bits. A word counts as known if all of its bits are set, so every word of
    the set is known, and a few others are. The lower and the upper half of the word's 64-bit hash,
    l and u, give the positions: (l + i · u) mod size for i = 0, 1, … (Kirsch & Mitzenmacher, 2006);
    u is made odd.
    """

    def __init__(self, hashes: Tensor) -> None:
        self.size = max(64, 8 * -(-len(hashes) * BITS // 8))  # whole bytes
        self._bits = torch.zeros(self.size, dtype=torch.bool)
        self._bits[self._positions(hashes)] = True

    def contains(self, hashes: Tensor) -> Tensor:
        """Whether each of the words with these hashes (W,) counts as known, (W,) bool."""
        return self._bits[self._positions(hashes)].all(1)

    @property
    def error_rate(self) -> float:
        """The share of other words that count as known."""
        return float(self._bits.double().mean()) ** POSITIONS

    def packed(self) -> bytes:
        """The bits as bytes; the first bit is the lowest of the first byte."""
        places = self._bits.view(-1, 8).long() << torch.arange(8)
        return bytes(places.sum(1).tolist())

    def _positions(self, hashes: Tensor) -> Tensor:
        lower, upper = hashes & 0xFFFFFFFF, hashes >> 32 & 0xFFFFFFFF
        return (lower[:, None] + torch.arange(POSITIONS) * (upper[:, None] | 1)) % self.size

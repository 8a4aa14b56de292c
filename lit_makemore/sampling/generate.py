"""Names as they were asked for: what a sampler draws, without those that are not wanted.

Words of the list, and words one edit away from one, are found by their hashes alone.
"""

from collections.abc import Collection, Iterator

import torch
from torch import Tensor

from lit_makemore.sampling.sampler import GIVE_UP, Draw, Sampler
from lit_makemore.words.corpus import word_hash

BITS = 10  # of a word in a WordFilter
POSITIONS = 7  # of a word; ln 2 · BITS has the lowest error rate


def seeded(seed: int | None) -> torch.Generator:
    """A source of random numbers on the CPU; without a seed another one every time."""
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
) -> Iterator[Draw]:
    """Draws num names in batches, as `sampler.draw` does, with a generator on the CPU.

    `unique` draws each name once; `only_new` no words of the list, which have the list_hashes
    (words,); `not_near` nor any name within one edit of one. ValueError if too many names in a row
    are not wanted.
    """
    if not (unique or only_new or not_near):
        yield from sampler.draw(num, generator)
        return
    listed, seen, barren = set(list_hashes.tolist()), set[str](), 0

    def is_wanted(name: str) -> bool:
        if not_near:
            known = is_near(name, sampler.vocab.chars, listed)
        else:
            known = only_new and word_hash(name) in listed
        return not known and name not in seen

    while num > 0:
        for draw in sampler.draw(sampler.batch, generator):
            chosen: list[int] = []
            for i, name in enumerate(draw.names):
                if len(chosen) < num and is_wanted(name):
                    chosen.append(i)
                    if unique:
                        seen.add(name)
            barren = 0 if chosen else barren + 1
            if barren == GIVE_UP:
                option = "not_near" if not_near else "only_new"
                raise ValueError(_none_of(GIVE_UP * sampler.batch, len(seen), option))
            yield draw.at(chosen)
            num -= len(chosen)
            if num == 0:
                break


def _none_of(tried: int, found: int, option: str) -> str:
    if found:
        return f"{found:,} different names were found, no more; ask for fewer: --num {found}"
    return f"none of {tried:,} names is new; raise --temperature or leave out --{option}"


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


def is_near(word: str, chars: str, hashes: Collection[int]) -> bool:
    """Whether a word is within one edit of a word that has one of the hashes."""
    return any(word_hash(other) in hashes for other in within_one_edit(word, chars))


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

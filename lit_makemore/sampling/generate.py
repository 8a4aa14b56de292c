"""Names as they were asked for: what a sampler draws, without those that are not wanted."""

import unicodedata
from collections.abc import Iterable, Iterator
from functools import lru_cache

import torch
from torch import Tensor

from lit_makemore.sampling.conditions import ArgumentError
from lit_makemore.sampling.sampler import Draw, Sampler
from lit_makemore.words.corpus import word_hash

BITS = 10  # of a word in a filter, and
POSITIONS = 7  # of a word; ln 2 · BITS has the lowest error rate
GIVE_UP = 50  # batches of the largest size without a single name that is wanted


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
    """Draws num names in batches, with a generator on the CPU.

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
        near = within_one_edit(name, sampler.vocab.chars) if not_near else [name] * only_new
        return listed.isdisjoint(map(word_hash, near))

    seen, since = set[str](), sampler.tried
    for draw in sampler.draw(generator):
        chosen = list[int]()
        for i, name in enumerate(draw.names):
            if len(chosen) < num and name not in seen and is_wanted(name):
                chosen.append(i)
                if unique:
                    seen.add(name)
        since = sampler.tried if chosen else since
        if (barren := sampler.tried - since) >= GIVE_UP * sampler.batch:
            if n := len(seen):
                raise ArgumentError(f"{n:,} different names were found; ask for fewer: --num {n}")
            what = "is wanted; raise --top_p or --temperature or leave out --only_new, --not_near, "
            what = f"{what}--exclude" if sampler.kept else sampler.why_none
            raise ArgumentError(f"none of {barren:,} names {what}")
        yield draw.at(chosen)
        num -= len(chosen)
        if num == 0:
            return


def ranked(draws: Iterable[Draw], best: int | None) -> Iterable[Draw]:
    """The best different names by log-probability a character, end mark included; None: all."""
    if best is None:
        return draws
    found = list(draws)
    names = [name for draw in found for name in draw.names]
    if not 1 <= best <= len(names):
        raise ArgumentError(f"--best must lie between 1 and --num, not {best}")
    columns = [draw.log_probabilities for draw in found], [draw.cut for draw in found]
    whole = Draw(names, *map(torch.cat, columns))
    each = (whole.log_probabilities / torch.tensor([len(name) + 1 for name in names])).tolist()
    places = {name: i for i, name in enumerate(names) if not whole.cut[i]}.values()  # ended
    return [whole.at(sorted(places, key=lambda i: -each[i])[:best])]


def within_one_edit(word: str, chars: str) -> Iterator[str]:
    """The word and what one edit makes of it: a character inserted, deleted or replaced."""
    yield word
    for i in range(len(word) + 1):
        before, after = word[:i], word[i:]
        yield from (before + c + after for c in chars)
        if after:
            yield before + after[1:]
            yield from (before + c + after[1:] for c in chars)


def word_filter(hashes: Tensor) -> tuple[bytes, float]:
    """The bits of a Bloom filter (1970), and the share of other words that count as known.

    A word counts as known if POSITIONS bits are set, as they are for every one of the hashes (W,).
    The lower and the upper half of a hash, l and u, give positions (l + i · u) mod size for
    i = 0, 1, … (Kirsch & Mitzenmacher, 2006); u is made odd. The first bit is the lowest.
    """
    size = max(64, 8 * -(-len(hashes) * BITS // 8))  # whole bytes
    lower, upper = hashes & 0xFFFFFFFF, hashes >> 32 & 0xFFFFFFFF
    bits = torch.zeros(size, dtype=torch.bool)
    bits[(lower[:, None] + torch.arange(POSITIONS) * (upper[:, None] | 1)) % size] = True
    packed = (bits.view(-1, 8).long() << torch.arange(8)).sum(1)
    return bytes(packed.tolist()), float(bits.double().mean()) ** POSITIONS

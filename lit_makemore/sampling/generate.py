"""Names as they were asked for: what a sampler draws, without those that are not wanted.

Training words, and words one edit away from one, are found by their hashes alone.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from lit_makemore.sampling.conditioned import ConditionedSampler
from lit_makemore.sampling.sampler import GIVE_UP, Draw, Sampler
from lit_makemore.words.corpus import are_among, word_hashes


@dataclass(frozen=True)
class Wanted:
    """Which of the names drawn are wanted.

    Args:
        unique: each name once.
        only_new: no training words.
        not_near: no training words, and no names within one edit of one.
    """

    unique: bool = False
    only_new: bool = False
    not_near: bool = False


def seeded(seed: int | None) -> torch.Generator:
    """A source of random numbers on the CPU; without a seed another one every time."""
    generator = torch.Generator()
    if seed is None:
        generator.seed()
    else:
        generator.manual_seed(seed)
    return generator


def generate(
    sampler: Sampler | ConditionedSampler,
    num: int,
    generator: torch.Generator,
    train_hashes: Tensor,
    wanted: Wanted = Wanted(),
) -> Iterator[Draw]:
    """Draws names in batches, as `sampler.draw` does.

    Args:
        sampler: what draws them.
        num: the number of names.
        generator: where random numbers come from, on the CPU.
        train_hashes: (words,) int64, the sorted hashes of the distinct training words.
        wanted: which names.

    Raises:
        ValueError: too many names in a row are not wanted.
    """
    if wanted == Wanted():  # all
        yield from sampler.draw(num, generator)
        return
    barren, seen = 0, set[str]()
    while num > 0:
        for draw in sampler.draw(sampler.batch, generator):
            draw = draw.at(_chosen(draw, num, sampler.vocab.chars, train_hashes, wanted, seen))
            barren = 0 if draw.names else barren + 1
            if barren == GIVE_UP:
                raise ValueError(_none_of(GIVE_UP * sampler.batch, len(seen), wanted))
            num -= len(draw.names)
            yield draw
            if num == 0:
                break


def _chosen(
    draw: Draw, num: int, chars: str, train_hashes: Tensor, wanted: Wanted, seen: set[str]
) -> list[int]:
    """The numbers of the first wanted names of a batch, at most num; adds them to `seen`."""
    chosen = []
    known = are_among(draw.names, train_hashes).tolist()
    for i, name in enumerate(draw.names):
        if wanted.unique and name in seen:
            continue
        if known[i] and (wanted.only_new or wanted.not_near):
            continue
        if wanted.not_near and is_near(name, chars, train_hashes):
            continue
        if wanted.unique:
            seen.add(name)
        chosen.append(i)
        if len(chosen) == num:
            break
    return chosen


def _none_of(tried: int, found: int, wanted: Wanted) -> str:
    if found:
        return (
            f"{found:,} different names were found, and no other among the next {tried:,}; "
            f"ask for fewer: --num {found}"
        )
    if wanted.not_near:
        what, option = "is two edits away from every training word", "not_near"
    else:
        what, option = "is new", "only_new"
    return f"none of {tried:,} names {what}; raise --temperature or leave out --{option}"


def within_one_edit(word: str, chars: str) -> Iterator[str]:
    """The word and all words that one edit makes of it, some of them more than once.

    An edit inserts, deletes or replaces one character (Levenshtein, 1966).

    Args:
        word: the word.
        chars: the characters that may be inserted.
    """
    yield word
    for i in range(len(word) + 1):
        before, after = word[:i], word[i:]
        yield from (before + c + after for c in chars)
        if after:
            yield before + after[1:]
            yield from (before + c + after[1:] for c in chars)


def is_near(word: str, chars: str, hashes: Tensor) -> bool:
    """Whether a word is within one edit of one of the words that have these hashes.

    Args:
        word: the word.
        chars: the characters of those words.
        hashes: (words,) int64, sorted.
    """
    wanted = word_hashes(within_one_edit(word, chars))
    if not len(hashes):
        return False
    found = torch.searchsorted(hashes, wanted).clamp(max=len(hashes) - 1)
    return bool((hashes[found] == wanted).any())

"""Words that differ from a word by one edit, found by their hashes alone."""

from collections.abc import Iterator

import torch
from torch import Tensor

from lit_makemore.words.corpus import word_hashes


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

from itertools import product

import pytest
import torch

from lit_makemore.sampling.neighbours import is_near, within_one_edit
from lit_makemore.words.corpus import word_hashes

WORDS = ["".join(letters) for n in range(6) for letters in product("ab", repeat=n)]


def distance(one: str, other: str) -> int:
    """Levenshtein's distance by its recurrence (Wagner & Fischer, 1974)."""
    row = list(range(len(other) + 1))
    for i, c in enumerate(one, 1):
        before, row[0] = row[0], i
        for j, d in enumerate(other, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (c != d))
    return row[-1]


@pytest.mark.parametrize("word", ["", "a", "abba", "bbb"])
def test_these_are_the_words_at_distance_one_at_most(word):
    assert set(within_one_edit(word, "ab")) == {w for w in WORDS if distance(word, w) <= 1}


def test_hashes_are_enough():
    trained = ["abba", "bbbbb"]
    hashes = word_hashes(iter(trained)).unique()
    for word in WORDS:
        assert is_near(word, "ab", hashes) == any(distance(word, t) <= 1 for t in trained)
    assert not is_near("abba", "ab", torch.empty(0, dtype=torch.int64))

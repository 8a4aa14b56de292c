from math import exp

import pytest
import torch

from lit_makemore.sampling.generate import WordFilter
from lit_makemore.words.corpus import word_hash, word_hashes
from tests.conftest import WORDS


def numbered(start: int, end: int) -> torch.Tensor:
    return word_hashes(f"word{i}" for i in range(start, end))


def test_every_word_is_known_and_the_share_of_others_is_the_one_that_is_stated():
    known = WordFilter(numbered(0, 5_000))
    assert known.contains(numbered(0, 5_000)).all()
    measured = float(known.contains(numbered(5_000, 205_000)).double().mean())
    assert measured == pytest.approx(known.error_rate, rel=0.1)
    # Bloom's closed form: k = 7 positions, 10 bits a word
    assert known.error_rate == pytest.approx((1 - exp(-7 / 10)) ** 7, rel=0.05)


def test_the_bits_are_where_the_description_says():
    """In whole numbers of Python, which have no sign bit."""
    known = WordFilter(word_hashes(WORDS))
    packed = known.packed()
    expected = bytearray(len(packed))
    for word in WORDS:
        value = word_hash(word) % 2**64
        for i in range(7):
            at = (value % 2**32 + i * (value // 2**32 | 1)) % (8 * len(packed))
            expected[at // 8] |= 1 << at % 8
    assert packed == bytes(expected)
    assert len(packed) == 38  # 30 words of 10 bits, in whole bytes


def test_a_filter_of_no_words_knows_none():
    known = WordFilter(torch.empty(0, dtype=torch.int64))
    assert not known.contains(word_hashes(["emma"]))
    assert known.error_rate == 0

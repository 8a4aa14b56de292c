from itertools import product
from math import exp

import pytest
import torch

from lit_makemore.sampling.generate import WordFilter, generate, is_near, seeded, within_one_edit
from lit_makemore.sampling.sampler import Sampler
from lit_makemore.words.corpus import word_hash, word_hashes
from tests.conftest import WORDS
from tests.sampling.test_conditioned import ABC, drawn, network

TRAINED = ["abc", "cab", "c", "aa"]
AB_WORDS = ["".join(letters) for n in range(6) for letters in product("ab", repeat=n)]


def distance(one: str, other: str) -> int:
    """Levenshtein's distance by its recurrence (Wagner & Fischer, 1974)."""
    row = list(range(len(other) + 1))
    for i, c in enumerate(one, 1):
        before, row[0] = row[0], i
        for j, d in enumerate(other, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (c != d))
    return row[-1]


def generated(num: int, max_length: int | None = None, **wanted: bool) -> list[str]:
    sampler = Sampler(network(), ABC, 2, max_length=max_length)
    hashes = word_hashes(TRAINED)
    draws = generate(sampler, num, seeded(1), hashes, **wanted)
    return [name for draw in draws for name in draw.names]


@pytest.mark.parametrize(
    ("wanted", "keeps"),
    [
        ({}, lambda name: True),
        ({"only_new": True}, lambda name: name not in TRAINED),
        ({"not_near": True}, lambda name: all(distance(name, t) > 1 for t in TRAINED)),
    ],
)
@pytest.mark.parametrize("unique", [False, True])
def test_the_wanted_names_come_in_the_order_they_are_drawn_in(wanted, keeps, unique):
    kept = [name for name in drawn(Sampler(network(), ABC, 2), 3000) if keeps(name)]
    expected = list(dict.fromkeys(kept)) if unique else kept
    assert len(expected) > 100
    assert generated(100, unique=unique, **wanted) == expected[:100]


def test_names_that_run_out_are_an_error_with_their_number():
    assert sorted(generated(4, 1, unique=True)) == ["", "a", "b", "c"]
    with pytest.raises(ValueError, match="4 different names were found.*--num 4"):
        generated(5, 1, unique=True)


@pytest.mark.parametrize("option", ["only_new", "not_near"])
def test_nothing_wanted_is_an_error(option):
    everything = word_hashes(["", "a", "b", "c"])
    sampler = Sampler(network(), ABC, 2, max_length=1)
    with pytest.raises(ValueError, match=f"none of 204,800 names .*leave out --{option}"):
        list(generate(sampler, 1, seeded(1), everything, **{option: True}))


def test_a_seed_repeats_and_no_seed_does_not():
    first, again, other = (torch.rand(4, generator=seeded(seed)) for seed in (1, 1, None))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_these_are_the_words_at_distance_one_at_most_and_hashes_are_enough():
    for word in ("", "a", "abba", "bbb"):
        assert set(within_one_edit(word, "ab")) == {w for w in AB_WORDS if distance(word, w) <= 1}
    trained = ["abba", "bbbbb"]
    hashes = word_hashes(trained).tolist()
    for word in AB_WORDS:
        assert is_near(word, "ab", hashes) == any(distance(word, t) <= 1 for t in trained)


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

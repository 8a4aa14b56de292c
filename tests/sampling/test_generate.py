from itertools import product
from math import exp

import numpy as np
import pytest
import torch
from torch import Tensor

from lit_makemore.sampling.conditioned import sampler
from lit_makemore.sampling.conditions import Condition
from lit_makemore.sampling.generate import generate, ranked, seeded, within_one_edit, word_filter
from lit_makemore.sampling.sampler import Draw, Sampler
from lit_makemore.words.corpus import word_hashes
from tests.sampling.test_conditioned import ABC, drawn, network

TRAINED = ["abc", "cab", "c", "aa"]
NONE = torch.empty(0, dtype=torch.int64)
AB_WORDS = ["".join(letters) for n in range(6) for letters in product("ab", repeat=n)]


def distance(one: str, other: str) -> int:
    """Levenshtein's distance by its recurrence (Wagner & Fischer, 1974)."""
    row = list(range(len(other) + 1))
    for i, c in enumerate(one, 1):
        before, row[0] = row[0], i
        for j, d in enumerate(other, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (c != d))
    return row[-1]


def generated(num: int, max_length: int | None = None, **wanted) -> list[str]:
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
        ({"exclude": ["Ab", "", "cc"]}, lambda name: "ab" not in name and "cc" not in name),
    ],
)
@pytest.mark.parametrize("unique", [False, True])
def test_the_wanted_names_come_in_the_order_they_are_drawn_in(wanted, keeps, unique):
    kept = [name for name in drawn(Sampler(network(), ABC, 2), 3000) if keeps(name)]
    expected = list(dict.fromkeys(kept)) if unique else kept
    assert len(expected) > 100
    assert generated(100, unique=unique, **wanted) == expected[:100]


@pytest.mark.parametrize("block_size", [2, 12])  # windows that are kept, and too many of them
@pytest.mark.parametrize(
    "options", [{}, {"max_length": 3}, {"min_length": 2}, {"unique": True}, {"not_near": True}]
)
def test_a_longer_draw_begins_like_a_shorter_one(block_size, options, monkeypatch):
    monkeypatch.setattr("lit_makemore.sampling.conditioned.MAX_CELLS", 1000)
    fits = {name: value for name, value in options.items() if name.endswith("length")}
    wanted = {name: value for name, value in options.items() if name not in fits}
    net, hashes, found = network(block_size), word_hashes(TRAINED), []
    for num in (1, 20, 64, 65, 150):  # the first batch has 64 names
        source = sampler(net, ABC, block_size, condition=Condition(**fits))
        draws = generate(source, num, seeded(1), hashes, **wanted)
        found.append(
            [pair for d in draws for pair in zip(d.names, d.log_probabilities, strict=True)]
        )
    assert [len(names) for names in found] == [1, 20, 64, 65, 150]
    assert all(names == found[-1][: len(names)] for names in found)


def test_few_names_are_drawn_where_few_are_wanted():
    for num, tried in ((1, 64), (65, 64 + 256)):
        source = Sampler(network(), ABC, 2)
        assert sum(len(draw.names) for draw in generate(source, num, seeded(1), NONE)) == num
        assert source.tried == tried


def test_the_best_are_different_names_by_log_probability_a_character():
    log_p, cut = torch.tensor([-3, -2.5, -3, -4, -3.6, -9]), torch.tensor([0, 0, 0, 0, 1, 0]).bool()
    draw = Draw(["ab", "c", "ab", "", "abc", "b"], log_p, cut)
    (best,) = ranked(iter([draw.at([0, 1]), draw.at([2, 3, 4, 5])]), 3)
    assert best.names == ["ab", "c", ""]  # -1, -1.25, -4, -4.5; "abc" was cut
    assert best.log_probabilities.tolist() == [-3, -2.5, -4]
    for number in (0, 7):
        with pytest.raises(ValueError, match=f"^best must lie between 1 and num, not {number}"):
            ranked(iter([draw]), number)


def test_names_that_run_out_are_an_error_with_their_number(monkeypatch):
    monkeypatch.setattr("lit_makemore.sampling.generate.GIVE_UP", 1)
    assert sorted(generated(3, 1, unique=True)) == ["a", "b", "c"]
    with pytest.raises(ValueError, match="3 different names were found; ask for fewer: num 3"):
        generated(5, 1, unique=True)


@pytest.mark.parametrize(
    ("wanted", "line"),
    [
        ({"only_new": True}, r"none of 5,440 names is wanted; raise top_p or temperature or"),
        ({"not_near": True}, r"none of 5,440 names is wanted; raise top_p or temperature or"),
        ({"not_near": True, "exclude": ["a"]}, "leave out only_new, not_near, exclude$"),
        ({"exclude": ["B", "c", "A"]}, "names is wanted"),
        ({"exclude": "abc"}, r"^exclude takes a list of words: \['abc'\] for one"),
    ],
)
def test_nothing_wanted_is_an_error(wanted, line, monkeypatch):
    monkeypatch.setattr("lit_makemore.sampling.generate.GIVE_UP", 1)
    everything = word_hashes(["a", "b", "c"])
    sampler = Sampler(network(), ABC, 2, max_length=1)
    with pytest.raises(ValueError, match=line):
        list(generate(sampler, 1, seeded(1), everything, **wanted))


class Ends(torch.nn.Module):
    """Ends every name where it begins; no other character has more than the logit `others`."""

    def __init__(self, others: float) -> None:
        super().__init__()
        self.unused, self.others = torch.nn.Parameter(torch.zeros(1)), others

    def forward(self, x):
        return torch.tensor([1e3, *[self.others] * 4]).expand(len(x), 5)


@pytest.mark.parametrize("options", [{}, {"pattern": "?"}])
def test_a_network_that_draws_empty_names_draws_the_shortest_or_is_an_error(options, monkeypatch):
    monkeypatch.setattr("lit_makemore.sampling.generate.GIVE_UP", 1)
    condition = Condition(**options)
    source = sampler(Ends(0.0).eval(), ABC, 2, condition=condition)
    (draw,) = generate(source, 50, seeded(1), NONE)
    assert set(draw.names) == set("abc")
    assert draw.log_probabilities.tolist() == [-1e3] * 50  # the network's own
    ends = Ends(-torch.inf).eval()
    with pytest.raises(ValueError, match="names is wanted|draws no name that fits"):
        list(generate(sampler(ends, ABC, 2, condition=condition), 1, seeded(1), NONE))


def test_a_seed_repeats_and_no_seed_does_not():
    first, again, other = (torch.rand(4, generator=seeded(seed)) for seed in (1, 1, None))
    seeded(2**64 - 1), seeded(-(2**63))
    for seed in (2**70, 2**64, -(2**63) - 1):
        with pytest.raises(ValueError, match=f"^seed {seed} does not fit into 64 bits"):
            seeded(seed)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_these_are_the_words_at_distance_one_at_most_and_hashes_are_enough():
    for word in ("", "a", "abba", "bbb"):
        assert set(within_one_edit(word, "ab")) == {w for w in AB_WORDS if distance(word, w) <= 1}


def known(filtered: Tensor, others: Tensor) -> Tensor:
    """Which of the hashes count as known, (W,) bool: all seven of their bits are set."""
    bits = np.unpackbits(np.frombuffer(word_filter(filtered)[0], np.uint8), bitorder="little")
    low, high = others & 0xFFFFFFFF, others >> 32 & 0xFFFFFFFF | 1
    positions = (low[:, None] + torch.arange(7) * high[:, None]) % len(bits)
    return torch.from_numpy(bits)[positions].bool().all(1)


def numbered(start: int, end: int) -> Tensor:
    return word_hashes(f"word{i}" for i in range(start, end))


def test_every_word_is_known_and_the_share_of_others_is_the_one_that_is_stated():
    words, error_rate = numbered(0, 5_000), word_filter(numbered(0, 5_000))[1]
    assert known(words, words).all()
    measured = float(known(words, numbered(5_000, 205_000)).double().mean())
    assert measured == pytest.approx(error_rate, rel=0.1)
    # Bloom's closed form: k = 7 positions, 10 bits a word
    assert error_rate == pytest.approx((1 - exp(-7 / 10)) ** 7, rel=0.05)
    assert not known(NONE, words).any()
    assert word_filter(NONE)[1] == 0

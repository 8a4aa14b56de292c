from collections import Counter
from math import prod

import pytest
import torch

from lit_makemore.words.vocab import Vocabulary
from tests.sampling.repeatable import Random, draw_names
from tests.sampling.test_sampler import Repeats, Spells

AB = Vocabulary("ab")


class Fixed(torch.nn.Module):
    """The same distribution after every window: 0.3 for the end, 0.5 for a, 0.2 for b."""

    p = (0.3, 0.5, 0.2)

    def forward(self, x):
        return torch.tensor(self.p, dtype=torch.float64).log().expand(len(x), 3)


def test_the_generator_gives_the_published_numbers():
    """pcg-c, test-high/expected/check-pcg32si.out: seed 42, round 1."""
    random = Random(42)
    assert [random.integer() for _ in range(6)] == [
        0x256B5357, 0xA5EFAD32, 0x170B7830, 0x334A5B22, 0x3DE5C680, 0x9B47B7B3,
    ]  # fmt: skip
    random = Random(7)
    uniform = [random.uniform() for _ in range(20_000)]
    assert 0 <= min(uniform) < max(uniform) < 1
    assert sum(uniform) / 20_000 == pytest.approx(0.5, abs=0.01)


def test_a_name_follows_the_network_window_by_window():
    assert draw_names(Spells().eval(), AB, 2, num=3, seed=1) == ["abba"] * 3
    assert draw_names(Spells().eval(), AB, 2, num=1, seed=1, prefix="bb") == ["bba"]


def test_names_have_the_probabilities_of_the_network_given_their_length():
    drawn = Counter(draw_names(Fixed(), AB, 2, num=1_000, seed=3, max_length=2))
    p = dict(zip(["", "a", "b"], Fixed.p, strict=True))
    words = ["a", "b", "aa", "ab", "ba", "bb"]
    expected = {word: prod(p[c] for c in word) for word in words}
    total = sum(expected.values())  # each one ends with the same probability, 0.3
    assert set(drawn) == set(words)
    cells = {word: 1_000 * x / total for word, x in expected.items()}
    chi_square = sum((drawn[word] - cell) ** 2 / cell for word, cell in cells.items())
    assert chi_square < 20.5  # once in a thousand with 5 degrees of freedom
    sharper = draw_names(Fixed(), AB, 2, num=500, seed=1, temperature=0.5, max_length=1)
    assert sharper.count("a") / 500 == pytest.approx(0.5**2 / (0.5**2 + 0.2**2), abs=0.06)


def test_lengths_and_known_names_are_drawn_again_until_there_are_none():
    fits = {"prefix": "a", "min_length": 3, "max_length": 4}
    names = draw_names(Fixed(), AB, 2, num=150, seed=5, **fits, known=lambda name: name == "aaa")
    assert len(names) == 150
    assert {len(name) for name in names} == {3, 4}
    assert all(name.startswith("a") for name in names)
    assert "aaa" not in names
    assert "aab" in names
    assert draw_names(Repeats().eval(), AB, 2, num=2, seed=1, max_length=10) == []

from collections import Counter, defaultdict

import pytest
import torch
import torch.nn.functional as F

from lit_makemore.counts.ngrams import AddOne
from lit_makemore.counts.targets import Expected, Given, Taught, Teacher
from lit_makemore.network.mlp import MLP
from lit_makemore.words.windows import Windows
from tests.conftest import WORDS
from tests.words.test_windows import VOCAB, lecture, stream

V = len(VOCAB)
ONCE = torch.arange(V)
UNIFORM = AddOne(0, ONCE[:, None], ONCE, torch.ones_like(ONCE), V)


def shares(words, block_size) -> dict[tuple[int, ...], Counter]:
    following: dict[tuple[int, ...], Counter] = defaultdict(Counter)
    for x, y in zip(*lecture(words, block_size), strict=True):
        following[tuple(x)][y] += 1
    return following


@pytest.mark.parametrize("block_size", [1, 3, 16])  # the last overflows V ** block_size in 64 bits
def test_targets_are_the_shares_of_what_follows_the_window(block_size):
    windows = Windows(stream(WORDS * 2), block_size)
    index = torch.randperm(len(windows))
    x, targets = Expected(windows, V)[index]
    assert torch.equal(x, windows[index][0])
    following = shares(WORDS * 2, block_size)
    for window, target in zip(x.tolist(), targets, strict=True):
        counts = following[tuple(window)]
        expected = [counts[token] / counts.total() for token in range(V)]
        assert target.tolist() == pytest.approx(expected)


@pytest.mark.parametrize(("block_size", "seen"), [(1, 3), (3, 16), (2, 2), (16, 16)])
def test_a_function_that_sees_more_gives_its_mean_over_the_examples(block_size, seen):
    words = WORDS * 2 + WORDS[:3]  # not all equally often
    windows = Windows(stream(words), block_size)

    def distribution(x):
        """Depends on every character of the window."""
        sums = (x.double() * torch.arange(1, seen + 1) ** 2).sum(1, keepdim=True)
        return sums / torch.arange(1, V + 1)

    each = defaultdict(list)
    for x, _ in zip(*lecture(words, seen), strict=True):
        each[tuple(x[-block_size:])].append(distribution(torch.tensor([x]))[0])
    index = torch.randperm(len(windows))
    more = [] if seen == block_size else [seen]
    x, targets = Given(windows, V, distribution, *more)[index]
    assert torch.equal(x, windows[index][0])
    expected = torch.stack([torch.stack(each[tuple(row)]).mean(0) for row in x.tolist()])
    torch.testing.assert_close(targets.double(), expected, rtol=1e-6, atol=1e-6)


def test_a_teacher_in_bfloat16_teaches_in_float32():
    torch.manual_seed(0)
    teacher, x = MLP(V, n_hidden=8, n_layer=1).eval().bfloat16(), torch.randint(0, V, (7, 3))
    expected = F.softmax(teacher(x).double(), 1)
    found = Taught([Teacher(teacher, 3)], UNIFORM, 0.0)(x)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)


def test_what_is_taught_is_the_teachers_mean_and_a_share_of_the_counts():
    """Each teacher reads as many characters as it sees."""
    torch.manual_seed(0)
    short, long = (MLP(V, T, n_hidden=8, n_layer=1).eval() for T in (2, 5))
    x = torch.randint(0, V, (7, 5))
    mean = (F.softmax(short(x[:, 3:]), 1) + F.softmax(long(x), 1)) / 2
    found = Taught([Teacher(short, 2), Teacher(long, 5)], UNIFORM, 0.25)(x)
    torch.testing.assert_close(found, (0.75 * mean + 0.25 / V).double())
    torch.testing.assert_close(found.sum(1), torch.ones(7).double())

from collections import Counter, defaultdict

import pytest
import torch

from lit_makemore.counts import baselines
from lit_makemore.counts.ngrams import Baseline, KneserNey
from lit_makemore.training.datamodule import NamesDataModule
from tests.conftest import WORDS, needs_names


@needs_names
def test_five_characters_reach_the_published_figures_too():
    data = NamesDataModule(block_size=5)
    data.setup()
    x, y, counts = data.splits["train"].examples
    model = KneserNey(x, y, counts[:, 0], 27, discount=0.9)
    for split, published in (("val", 1.9836), ("test", 1.9869)):
        x, y, counts = data.splits[split].examples
        assert baselines.loss(model, x, y, counts[:, 0]) == pytest.approx(published, abs=1e-4)


def every_model(*examples) -> dict[str, Baseline]:
    return {**baselines.simple_models(*examples), "kneser_ney": KneserNey(*examples)}


def examples(
    words: list[str], block_size: int, all_words: list[str] | None = None
) -> tuple[list[tuple[int, ...]], list[int]]:
    """Windows and what follows them; characters are numbered as in all words."""
    chars = "." + "".join(sorted(set("".join(all_words or words))))
    windows, following = [], []
    for word in words:
        tokens = [0] * block_size + [chars.index(c) for c in word] + [0]
        for i in range(block_size, len(tokens)):
            windows.append(tuple(tokens[i - block_size : i]))
            following.append(tokens[i])
    return windows, following


def kneser_ney_by_the_book(train, vocab_size: int, window: tuple[int, ...], discount: float):
    """The definition, word by word, with dictionaries: the referee."""
    n = len(window)
    types = [set() for _ in range(n + 1)]  # distinct (window, next) by window length
    top = Counter()
    for h, w in zip(*train, strict=True):
        top[h, w] += 1
        for k in range(n + 1):
            types[k].add((h[n - k :], w))
    counts: list[dict] = [defaultdict(int) for _ in range(n + 1)]
    counts[n] = top
    for k in range(n):
        for h, w in types[k + 1]:
            counts[k][h[1:], w] += 1
    p = [1 / vocab_size] * vocab_size
    for k in range(n + 1):
        h = window[n - k :]
        c = [counts[k].get((h, w), 0) for w in range(vocab_size)]
        if sum(c):
            kinds = sum(1 for v in c if v)
            p = [
                (max(c[w] - discount, 0) + discount * kinds * p[w]) / sum(c)
                for w in range(vocab_size)
            ]
    return p


@pytest.mark.parametrize("block_size", [1, 2, 3, 6])
def test_kneser_ney_is_its_definition(block_size):
    train = examples(WORDS, block_size)
    vocab_size = max(train[1]) + 1
    x, y = torch.tensor(train[0]), torch.tensor(train[1])
    model = KneserNey(x, y, torch.ones_like(y), vocab_size)
    g = torch.Generator().manual_seed(1)
    windows = torch.cat([x[:20], torch.randint(0, vocab_size, (20, block_size), generator=g)])
    for window, p in zip(windows.tolist(), model.probabilities(windows).tolist(), strict=True):
        expected = kneser_ney_by_the_book(train, vocab_size, tuple(window), 0.8)
        assert p == pytest.approx(expected, abs=1e-12)


def test_kneser_ney_is_rebuilt_from_its_rows():
    x, y = (torch.tensor(part) for part in examples(WORDS, 3))
    vocab_size = int(y.max()) + 1
    model = KneserNey(x, y, torch.ones_like(y), vocab_size, discount=0.6)
    assert (model.rows.dtype, model.counts.dtype) == (torch.uint8, torch.int32)
    assert torch.equal(model.rows.long(), torch.cat([x, y[:, None]], 1))
    none = torch.empty(0, dtype=torch.int64)
    again = KneserNey(none[:, None], none, none, vocab_size)
    again.load_state_dict(model.state_dict())
    assert again.discount == 0.6
    assert torch.equal(model.probabilities(x), again.probabilities(x))
    assert KneserNey(x, y, torch.ones_like(y), 300).rows.dtype == torch.int16


def test_the_probability_of_one_token_is_that_of_the_distribution_to_the_bit(word_list):
    data = NamesDataModule(str(word_list))
    data.setup()
    x, y, n = data.splits["train"].examples
    for name, model in every_model(x, y, n[:, 0], len(data.vocab)).items():
        for x, y, _ in (split.examples for split in data.splits.values()):
            whole = model.probabilities(x).gather(1, y[:, None])
            assert torch.equal(model.probabilities(x, y), whole), name

from collections import Counter

import pytest
import torch

from lit_makemore.counts.baselines import DISCOUNTS, choose_counts, loss
from lit_makemore.training.datamodule import NamesDataModule
from tests.conftest import needs_names
from tests.counts.test_ngrams import examples, kneser_ney_by_the_book


@pytest.mark.parametrize(
    ("order", "words"),
    [
        (1, "ab ba aab bba cab bac cba aba bab bcb"),
        (2, "anna hanna hannah johanna susanna jo joan joanna jon ann"),
        (3, "abcd abcde xbca xbcae abcd xbcae abc xbca abcde xbcae"),
    ],
)
def test_no_order_and_no_discount_is_better_on_val(order, words):
    """The referee computes each model word by word, from its definition."""
    words = words.split()
    train, held_out = words[:7], words[7:]
    longest, vocab_size = 3, len(set("".join(words))) + 1

    def counted(words, block_size):
        letters = "".join(sorted(set("".join([*train, *held_out]))))
        number = {letter: i for i, letter in enumerate(letters, 1)}
        windows, following = [], []
        for word in words:
            tokens = [0] * block_size + [number[letter] for letter in word] + [0]
            for i in range(block_size, len(tokens)):
                windows.append(tuple(tokens[i - block_size : i]))
                following.append(tokens[i])
        return windows, following

    def mean(order, discount):
        x, y = counted(held_out, order)
        p = [
            kneser_ney_by_the_book(counted(train, order), vocab_size, window, discount)[token]
            for window, token in zip(x, y, strict=True)
        ]
        return -float(torch.tensor(p, dtype=torch.float64).log().mean())

    each = {(o, d): mean(o, d) for o in range(1, longest + 1) for d in DISCOUNTS}

    def tensors(words):
        x, y = (torch.tensor(part) for part in counted(words, longest))
        return x, y, torch.ones_like(y)

    found = choose_counts(tensors(train), tensors(held_out), vocab_size)
    assert (found.order, found.discount) == min(each, key=each.get)
    assert loss(found, *tensors(held_out)) == pytest.approx(min(each.values()))
    assert found.order == order
    if order < longest:  # examples that differed only further back are counted, not kept
        rows, n = found.rows, found.counts
        kept = {(tuple(h), w): k for (*h, w), k in zip(rows.tolist(), n.tolist(), strict=True)}
        assert kept == Counter(zip(*counted(train, order), strict=True))
        assert len(rows) == len(kept)


def test_without_val_examples_it_is_the_longest_with_the_usual_discount():
    x, y = (torch.tensor(part) for part in examples(["anna", "hanna"], 2))
    none = x[:0], y[:0], y[:0]
    found = choose_counts((x, y, torch.ones_like(y)), none, int(y.max()) + 1)
    assert (found.order, found.discount) == (2, 0.8)


@needs_names
@pytest.mark.slow
def test_on_names_it_is_of_five_characters_and_not_above_the_published_figure():
    data = NamesDataModule(block_size=8)
    data.setup()
    assert data.best_counts.order == 5
    assert data.baselines["kneser_ney"]["val"] < 1.9836 + 1e-4

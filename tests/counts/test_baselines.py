from collections import Counter

import pytest
import torch

from lit_makemore.counts import baselines
from lit_makemore.counts.baselines import DISCOUNTS, choose_counts, loss
from lit_makemore.counts.targets import Expected
from lit_makemore.training.datamodule import NamesDataModule
from lit_makemore.words.windows import distinct
from tests.conftest import needs_names
from tests.counts.test_ngrams import every_model, examples, kneser_ney_by_the_book

PUBLISHED = {  # to 1e-3, split seed 42
    "uniform": {"train": 3.2958, "val": 3.2958, "test": 3.2958},
    "unigram": {"val": 2.8210},
    "bigram": {"train": 2.454, "val": 2.453},
    "kneser_ney": {"train": 1.9230, "val": 2.0608, "test": 2.0636, "val_novel": 2.0852},
}


@needs_names
def test_the_published_figures_are_reached():
    data = NamesDataModule()
    data.setup()
    train = data.splits["train"].windows
    fitted = every_model(*distinct(train, 27), 27)
    for name, figures in PUBLISHED.items():
        for split, published in figures.items():
            x, y, counts = data.splits[split.removesuffix("_novel")].examples
            found = baselines.loss(fitted[name], x, y, counts[:, int("novel" in split)])
            assert found == pytest.approx(published, abs=1e-3), (name, split)
    x, y, counts = data.splits["train"].examples
    shares = Expected(train, 27)[torch.arange(len(train))][1]
    least = -(shares.log().nan_to_num(neginf=0) * shares).sum(1).mean()
    assert float(least) == pytest.approx(1.8691, abs=1e-4)  # that any three characters allow


def test_losses_of_a_split_are_on_all_words_and_on_novel_ones(word_list):
    data = NamesDataModule(str(word_list), splits=(0.5, 0.25, 0.25))
    data.setup()
    x, y, n = data.splits["train"].examples
    fitted = every_model(x, y, n[:, 0], len(data.vocab))
    figures = baselines.losses_of(fitted, data.splits)
    assert list(figures) == ["uniform", "unigram", "bigram", "kneser_ney"]
    x, y, n = data.splits["val"].examples
    for name, row in figures.items():
        assert list(row) == ["train", "val", "val_novel", "test", "test_novel"]
        assert row["val"] == baselines.loss(fitted[name], x, y, n[:, 0])
        assert row["val_novel"] == baselines.loss(fitted[name], x, y, n[:, 1])
    none = float("nan")
    row = {"train": 1.0, "train_novel": none, "val": 2.0, "val_novel": none}
    assert baselines.without_nan(row) == {"train": 1.0, "val": 2.0, "val_novel": None}


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

    def counted(some, block_size):
        return examples(some, block_size, words)

    def mean(order, discount):
        train_examples = counted(train, order)
        p = [
            kneser_ney_by_the_book(train_examples, vocab_size, window, discount)[token]
            for window, token in zip(*counted(held_out, order), strict=True)
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

import pytest
import torch

from lit_makemore.counts import baselines
from lit_makemore.counts.targets import Expected
from lit_makemore.training.datamodule import NamesDataModule
from lit_makemore.words.windows import distinct
from tests.conftest import WORDS, needs_names
from tests.counts.test_ngrams import every_model, examples

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


def test_distinct_examples_count_as_often_as_they_occur():
    x, y = (torch.tensor(part) for part in examples(WORDS, 3))
    once, vocab_size = torch.ones_like(y), int(y.max()) + 1
    rows, counts = torch.cat([x, y[:, None]], 1).unique(dim=0, return_counts=True)
    whole = every_model(x, y, once, vocab_size)
    short = every_model(rows[:, :-1], rows[:, -1], counts, vocab_size)
    for name in whole:
        torch.testing.assert_close(whole[name].probabilities(x), short[name].probabilities(x))
        assert baselines.loss(whole[name], x, y, once) == pytest.approx(
            baselines.loss(short[name], rows[:, :-1], rows[:, -1], counts)
        )


def test_losses_of_a_split_are_on_all_words_and_on_novel_ones(word_list):
    data = NamesDataModule(str(word_list), splits=(0.5, 0.25, 0.25))
    data.setup()
    x, y, n = data.splits["train"].examples
    fitted = every_model(x, y, n[:, 0], len(data.vocab))
    figures = baselines.losses_of(fitted, data.splits)
    assert list(figures) == ["uniform", "unigram", "bigram", "kneser_ney"]
    for name, row in figures.items():
        assert list(row) == ["train", "val", "val_novel", "test", "test_novel"]
        x, y, n = data.splits["val"].examples
        assert row["val"] == baselines.loss(fitted[name], x, y, n[:, 0])
        assert row["val_novel"] == baselines.loss(fitted[name], x, y, n[:, 1])


def test_a_loss_without_words_is_none():
    figures = {"train": 1.0, "train_novel": float("nan"), "val": 2.0, "val_novel": float("nan")}
    assert baselines.without_nan(figures) == {"train": 1.0, "val": 2.0, "val_novel": None}

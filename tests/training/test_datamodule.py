import pytest
import torch

from lit_makemore.training.datamodule import NamesDataModule
from lit_makemore.words.corpus import word_hashes
from tests.conftest import WORDS


def test_the_vocabulary_is_known_at_once_and_the_splits_after_setup(word_list):
    data = NamesDataModule(str(word_list))
    assert data.chars == "".join(sorted(set("".join(WORDS))))
    data.setup()
    assert [len(data.splits[s].hashes) for s in ("train", "val", "test")] == [24, 3, 3]
    hashes = torch.cat([data.splits[s].hashes for s in ("train", "val", "test")])
    assert sorted(hashes.tolist()) == sorted(word_hashes(iter(WORDS)).tolist())
    assert data.list_hashes.equal(hashes.sort().values)


def test_ratio_and_seed_of_the_split_are_options(word_list):
    a = NamesDataModule(str(word_list), splits=(0.5, 0.25, 0.25))
    b = NamesDataModule(str(word_list), splits=(0.5, 0.25, 0.25), split_seed=7)
    assert [len(n) for n in a.numbers] == [15, 7, 8]
    assert a.numbers[0].tolist() != b.numbers[0].tolist()


def test_the_seed_orders_the_minibatches_and_nothing_else(word_list):
    def first(seed):
        data = NamesDataModule(str(word_list), seed=seed)
        data.setup()
        return data, next(iter(data.train_dataloader()))

    (a, x), (b, y), (_, z) = first(1), first(2), first(1)
    assert torch.equal(x[0], z[0])
    assert not torch.equal(x[0], y[0])
    assert torch.equal(a.splits["train"].hashes, b.splits["train"].hashes)


@pytest.mark.parametrize("targets", ["sampled", "expected", "kneser_ney"])
@pytest.mark.parametrize("sampling", ["replacement", "shuffled"])
def test_only_what_is_drawn_to_learn_from_follows_the_counts(tmp_path, targets, sampling):
    """All splits, their losses and what is counted have each word once."""
    path = tmp_path / "words.csv"
    path.write_text("word,n\n" + "".join(f"{w},{3 * 4 ** (i % 3)}\n" for i, w in enumerate(WORDS)))
    options = {"column": "word", "batch_size": 8, "targets": targets, "sampling": sampling}
    plain, counted = (NamesDataModule(str(path), **options, count=n) for n in (None, "n"))
    for data in (plain, counted):
        data.setup()
    for name, split in plain.splits.items():
        assert torch.equal(split.windows.stream, counted.splits[name].windows.stream)
    assert plain.baselines == counted.baselines
    own = [i for i in plain.numbers[0].tolist() for _ in range((1, 3, 5)[i % 3])]
    letters = sum(len(WORDS[i]) + 1 for i in own)
    loader = counted.train_dataloader()
    assert len(loader.examples) == letters > len(plain.train_dataloader().examples)
    assert len(loader) == sum(1 for _ in loader) == letters // 8
    x, _ = loader.examples[torch.arange(letters)]
    assert (x == 0).all(1).sum() == len(own)


@pytest.mark.parametrize(("splits", "lines"), [((0.8, 0.1, 0.1), 2), ((1.0, 0.0, 0.0), 0)])
def test_what_is_said_of_val_words_needs_val_words(word_list, caplog, splits, lines):
    word_list.write_text(2 * word_list.read_text())
    data = NamesDataModule(str(word_list), splits=splits)
    data.setup()
    with caplog.at_level("INFO", "lit_makemore"):
        data.train_dataloader()
    assert len(caplog.messages) == lines


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"count": "n"}, "--data.count needs a table: choose --data.column, too"),
        ({"block_size": 0}, "block_size must be at least 1, not 0"),
    ],
)
def test_a_bad_option_is_named(word_list, options, says):
    with pytest.raises(ValueError, match=says):
        NamesDataModule(str(word_list), **options)


def test_an_evaluation_batch_has_few_logits_however_many_characters_there_are(tmp_path):
    path = tmp_path / "list.txt"
    characters = [chr(0x4E00 + i) for i in range(5000)]
    path.write_text("\n".join(map("".join, zip(characters[::2], characters[1::2], strict=True))))
    data = NamesDataModule(str(path))
    data.setup()
    sizes = [len(y) for _, _, y, _ in data.evaluation_loader("train")]
    assert sum(sizes) == len(data.splits["train"].examples[1])
    assert max(sizes) * len(data.vocab) <= 2**22

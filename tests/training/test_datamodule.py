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


def test_a_bad_block_size_is_named(word_list):
    with pytest.raises(ValueError, match="block_size must be at least 1, not 0"):
        NamesDataModule(str(word_list), block_size=0)


def test_an_evaluation_batch_has_few_logits_however_many_characters_there_are(tmp_path):
    path = tmp_path / "list.txt"
    characters = [chr(0x4E00 + i) for i in range(5000)]
    path.write_text("\n".join(map("".join, zip(characters[::2], characters[1::2], strict=True))))
    data = NamesDataModule(str(path))
    data.setup()
    sizes = [len(y) for _, _, y, _ in data.evaluation_loader("train")]
    assert sum(sizes) == len(data.splits["train"].examples[1])
    assert max(sizes) * len(data.vocab) <= 2**22

import random

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lit_makemore.words.corpus import read_corpus, word_hashes
from lit_makemore.words.splits import build_splits, known_words, split_words, whereabouts
from lit_makemore.words.vocab import Vocabulary
from lit_makemore.words.windows import distinct, encode, select_words
from tests.conftest import NAMES, WORDS, needs_names
from tests.words.test_windows import VOCAB, stream


@needs_names
@pytest.mark.parametrize(
    ("seed", "sizes"), [(42, [182_625, 22_655, 22_866]), (278, [182_418, 22_885, 22_843])]
)
def test_splits_of_names_txt_are_the_published_ones(seed, sizes):
    corpus = read_corpus(NAMES)
    tokens = encode(corpus.text, Vocabulary(corpus.chars))
    parts = split_words(corpus.n_words, [0.8, 0.1, 0.1], seed)
    assert [len(select_words(tokens, part)) for part in parts] == sizes


@given(st.integers(10, 500), st.integers(0, 2**32))
def test_the_split_shuffles_as_random_shuffle_does(n, seed):
    order = list(range(n))
    random.seed(seed)
    random.shuffle(order)
    parts = split_words(n, [0.8, 0.1, 0.1], seed)
    assert torch.cat(parts).tolist() == order
    assert [len(part) for part in parts[:2]] == [int(0.8 * n), int(0.9 * n) - int(0.8 * n)]


@pytest.mark.parametrize(
    "splits", [[0.5, 0.2, 0.2], [1.1, -0.1, 0.0], [0.99, 0.005, 0.005], [0.8, 0.2], []]
)
def test_bad_splits_are_an_error(splits):
    with pytest.raises(ValueError, match="splits|split by"):
        split_words(30, splits, 1)


@pytest.fixture
def splits(tmp_path):
    """The words twice, so that some val and test words are training words, too."""
    path = tmp_path / "words.txt"
    path.write_text("\n".join(WORDS * 2))
    numbers = split_words(60, [0.5, 0.25, 0.25], 42)
    words = [[(WORDS * 2)[i] for i in own] for own in numbers]
    return build_splits(read_corpus(path), VOCAB, numbers, 3), words


def test_each_split_has_the_windows_and_hashes_of_its_words(splits):
    splits, words = splits
    assert list(splits) == ["train", "val", "test"]
    for split, own in zip(splits.values(), words, strict=True):
        assert split.hashes.tolist() == word_hashes(own).tolist()
        _, y = split.windows[torch.arange(len(split.windows))]
        assert y.tolist() == stream(own).tolist()
        assert split.longest == max(map(len, own))


def test_an_example_is_novel_unless_its_word_is_a_training_word(splits):
    splits, words = splits
    for name, own in zip(splits, words, strict=True):
        expected = [word not in words[0] for word in own for _ in range(len(word) + 1)]
        assert splits[name].novel.tolist() == expected
        x, y, counts = splits[name].examples
        for column, weights in enumerate((torch.ones(len(expected)), torch.tensor(expected))):
            again = distinct(splits[name].windows, len(VOCAB), weights)
            assert [t.tolist() for t in again] == [t.tolist() for t in (x, y, counts[:, column])]


def test_known_words_and_whereabouts_look_words_up_in_the_splits(splits):
    splits, words = splits
    for name, own in zip(splits, words, strict=True):
        assert known_words(splits, name) == sum(word in words[0] for word in own)
    for word in WORDS:
        assert whereabouts(splits, word) == ("train" if word in words[0] else "held out")
    assert whereabouts(splits, "xenia") == "new"

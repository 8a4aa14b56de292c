import random
from collections import Counter

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lit_makemore.words.corpus import read_corpus
from lit_makemore.words.vocab import Vocabulary
from lit_makemore.words.windows import (
    Windows,
    distinct,
    encode,
    select_words,
    split_words,
    word_lengths,
)
from tests.conftest import NAMES, WORDS, needs_names

VOCAB = Vocabulary("".join(sorted(set("".join(WORDS)))))


def stream(words: list[str], vocab: Vocabulary = VOCAB) -> torch.Tensor:
    return encode("".join(f"{word}." for word in words), vocab)


def lecture(words: list[str], block_size: int) -> tuple[list[list[int]], list[int]]:
    """The lecture's build_dataset, the referee."""
    X, Y = [], []
    for word in words:
        context = [0] * block_size
        for ch in word + ".":
            X.append(context)
            Y.append(VOCAB.stoi[ch])
            context = context[1:] + [VOCAB.stoi[ch]]
    return X, Y


@pytest.mark.parametrize("block_size", [1, 3, 8])
def test_windows_are_the_lectures(block_size):
    windows = Windows(stream(WORDS), block_size)
    x, y = windows[torch.arange(len(windows))]
    assert (x.tolist(), y.tolist()) == lecture(WORDS, block_size)


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


@pytest.mark.parametrize("splits", [[0.5, 0.2, 0.2], [1.1, -0.1, 0.0], [0.99, 0.005, 0.005]])
def test_bad_splits_are_an_error(splits):
    with pytest.raises(ValueError, match="splits|split by"):
        split_words(30, splits, 1)


def test_select_words_keeps_the_order_asked_for():
    picked = select_words(stream(WORDS), torch.tensor([2, 0, 29]))
    assert picked.tolist() == stream([WORDS[2], WORDS[0], WORDS[29]]).tolist()
    assert word_lengths(picked).tolist() == [6, 4, 5]


def test_a_vocabulary_above_a_byte_gets_wider_tokens():
    chars = "".join(chr(0x4E00 + i) for i in range(400))
    tokens = encode(f"{chars[0]}{chars[399]}.", Vocabulary(chars))
    assert tokens.tolist() == [1, 400, 0]


@pytest.mark.parametrize("base", [len(VOCAB), 2**16])  # numbers that fit 64 bits, and not
def test_distinct_examples_are_those_of_the_stream_with_their_counts(base):
    windows = Windows(stream(WORDS * 3), 3)
    x, y, n = distinct(windows, base)
    found = {(*row, t): c for row, t, c in zip(x.tolist(), y.tolist(), n.tolist(), strict=True)}
    X, Y = lecture(WORDS * 3, 3)
    assert found == Counter((*row, t) for row, t in zip(X, Y, strict=True))

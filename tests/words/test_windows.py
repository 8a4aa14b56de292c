from collections import Counter

import pytest
import torch

from lit_makemore.words.vocab import END, Vocabulary
from lit_makemore.words.windows import Windows, distinct, encode, select_words, word_lengths
from tests.conftest import WORDS

VOCAB = Vocabulary("".join(sorted(set("".join(WORDS)))))


def stream(words: list[str], vocab: Vocabulary = VOCAB) -> torch.Tensor:
    return encode("".join(f"{word}{END}" for word in words), vocab)


def lecture(words: list[str], block_size: int) -> tuple[list[list[int]], list[int]]:
    """The lecture's build_dataset, the referee."""
    X, Y = [], []
    for word in words:
        context = [0] * block_size
        for ch in word + END:
            X.append(context)
            Y.append(VOCAB.stoi[ch])
            context = context[1:] + [VOCAB.stoi[ch]]
    return X, Y


@pytest.mark.parametrize("block_size", [1, 3, 8])
def test_windows_are_the_lectures(block_size):
    windows = Windows(stream(WORDS), block_size)
    x, y = windows[torch.arange(len(windows))]
    assert (x.tolist(), y.tolist()) == lecture(WORDS, block_size)


def test_select_words_keeps_the_order_asked_for():
    picked = select_words(stream(WORDS), torch.tensor([2, 0, 29]))
    assert picked.tolist() == stream([WORDS[2], WORDS[0], WORDS[29]]).tolist()
    assert word_lengths(picked).tolist() == [6, 4, 5]


def test_a_vocabulary_above_a_byte_gets_wider_tokens():
    chars = "".join(chr(0x4E00 + i) for i in range(400))
    tokens = encode(f"{chars[0]}{chars[399]}{END}", Vocabulary(chars))
    assert tokens.tolist() == [1, 400, 0]


@pytest.mark.parametrize("base", [len(VOCAB), 2**16])  # numbers that fit 64 bits, and not
def test_distinct_examples_are_those_of_the_stream_with_their_counts(base):
    windows = Windows(stream(WORDS * 3), 3)
    x, y, n = distinct(windows, base)
    found = {(*row, t): c for row, t, c in zip(x.tolist(), y.tolist(), n.tolist(), strict=True)}
    X, Y = lecture(WORDS * 3, 3)
    assert found == Counter((*row, t) for row, t in zip(X, Y, strict=True))

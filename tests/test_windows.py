import random
from collections import Counter

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lit_makemore.corpus import read_corpus
from lit_makemore.vocab import Vocabulary
from lit_makemore.windows import (
    EvaluationLoader,
    MinibatchLoader,
    Windows,
    WordLoader,
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


def loader(sampling="replacement", seed=1, **kwargs) -> MinibatchLoader:
    generator = torch.Generator().manual_seed(seed)
    return MinibatchLoader(Windows(stream(WORDS), 3), 16, generator, sampling, **kwargs)


def taken(batches) -> list[list[int]]:
    return [torch.cat([x, y[:, None]], 1).flatten().tolist() for x, y in batches]


def test_drawing_with_replacement_is_randint_on_the_generator():
    windows, g = Windows(stream(WORDS), 3), torch.Generator().manual_seed(1)
    expected = [windows[torch.randint(0, len(windows), (16,), generator=g)] for _ in range(5)]
    assert taken(loader())[:5] == taken(expected)


def test_a_shuffled_pass_shows_every_example_once_but_the_last_few():
    count = len(Windows(stream(WORDS), 3))
    batches = loader("shuffled")
    seen = [row for x, y in batches for row in torch.cat([x, y[:, None]], 1).tolist()]
    assert len(seen) == count // 16 * 16 == len(batches) * 16
    X, Y = lecture(WORDS, 3)
    everything = sorted([*x, y] for x, y in zip(X, Y, strict=True))
    for row in seen:
        everything.remove(row)  # fails if one is seen too often
    assert taken(batches) != taken(batches)  # two passes differ


@pytest.mark.parametrize("sampling", ["replacement", "shuffled"])
@pytest.mark.parametrize("stop", [0, 1, 3, 7, 8])
def test_a_restored_loader_goes_on_as_the_first_would_have(sampling, stop):
    assert len(loader()) == 9

    def two_passes(batches):
        return [*taken(batches), *taken(batches)]

    first = loader(sampling)
    expected = two_passes(first)
    first, second = loader(sampling), loader(sampling, seed=2)
    iterator = iter(first)
    begun = taken(next(iterator) for _ in range(stop))
    if stop:
        second.load_state_dict(first.state_dict())
        assert begun + two_passes(second) == expected


def test_the_global_random_state_is_left_alone():
    before = torch.get_rng_state()
    list(loader("shuffled")), list(loader())
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("sampling", ["replacement", "shuffled"])
def test_processes_share_the_rows_of_the_same_minibatch(sampling):
    whole = list(loader(sampling))
    parts = [list(loader(sampling, rank=rank, world_size=4)) for rank in range(4)]
    for i, (x, y) in enumerate(whole):
        assert torch.equal(x, torch.cat([part[i][0] for part in parts]))
        assert torch.equal(y, torch.cat([part[i][1] for part in parts]))


def test_a_repeating_loader_has_the_same_minibatches_in_every_pass():
    batches = loader(repeat=True)
    assert taken(batches) == taken(batches)


@pytest.mark.parametrize(
    ("batch_size", "world_size", "message"),
    [(0, 1, "at least 1, not 0"), (3, 2, "2 processes"), (10_000, 1, "exceeds the")],
)
def test_bad_batch_sizes_are_errors(batch_size, world_size, message):
    with pytest.raises(ValueError, match=message):
        MinibatchLoader(
            Windows(stream(WORDS), 3), batch_size, torch.Generator(), world_size=world_size
        )


@pytest.mark.parametrize("world_size", [1, 2, 3])
def test_evaluation_shows_every_example_once_over_all_processes(world_size):
    windows = Windows(stream(WORDS), 3)
    novel = torch.arange(len(windows)) % 2 == 0
    ranks = [EvaluationLoader(windows, novel, 50, rank, world_size) for rank in range(world_size)]
    assert len({len(rank) for rank in ranks}) == 1
    x = torch.cat([x for chunks in zip(*ranks, strict=True) for x, _, _ in chunks])
    flags = torch.cat([f for chunks in zip(*ranks, strict=True) for _, _, f in chunks])
    assert torch.equal(x, windows[torch.arange(len(windows))][0])
    assert torch.equal(flags, novel)


@pytest.mark.parametrize("world_size", [1, 2, 3])
def test_words_to_score_come_in_order_and_once_over_all_processes(world_size):
    ranks = [WordLoader(WORDS, 7, rank, world_size) for rank in range(world_size)]
    chunks = zip(*ranks, strict=True)
    assert [word for shares in chunks for share in shares for word in share] == WORDS

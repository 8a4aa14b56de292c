import pickle
from collections import Counter
from copy import deepcopy

import pytest
import torch

from lit_makemore.training import loaders
from lit_makemore.training.loaders import EvaluationLoader, MinibatchLoader, Order, WordLoader
from lit_makemore.words.windows import Windows, distinct
from tests.conftest import WORDS
from tests.words.test_windows import VOCAB, lecture, stream


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
@pytest.mark.parametrize("stop", [1, 3, 7, 8])
def test_a_restored_loader_goes_on_as_the_first_would_have(sampling, stop):
    assert len(loader()) == 9

    whole, first, second = loader(sampling), loader(sampling), loader(sampling, seed=2)
    expected = [*taken(whole), *taken(whole)]
    iterator = iter(first)
    begun = taken(next(iterator) for _ in range(stop))
    second.load_state_dict(first.state_dict())
    assert [*begun, *taken(second), *taken(second)] == expected


@pytest.mark.parametrize("sampling", ["replacement", "shuffled"])
def test_an_iteration_that_was_left_does_not_shorten_the_next(sampling):
    batches, before = loader(sampling), torch.get_rng_state()
    next(iter(batches))
    assert [len(taken(batches)) for _ in range(2)] == [9, 9]
    assert torch.equal(torch.get_rng_state(), before)  # the global state is left alone


def test_random_numbers_go_on_in_another_process():
    """It cannot read the memory of a tensor that this process has let go."""
    here = Order().manual_seed(3)
    torch.rand(5, generator=here)
    make, (state,) = here.__reduce__()
    assert isinstance(state, list)
    for there in (make(state), pickle.loads(pickle.dumps(here)), deepcopy(here)):
        assert isinstance(there, Order)
        assert torch.equal(torch.rand(9, generator=there), torch.rand(9, generator=deepcopy(here)))


def test_a_pass_has_whole_updates():
    assert [len(taken(loader(update=n))) for n in (1, 2, 3, 4, 9)] == [9, 8, 9, 8, 9]
    assert [len(taken(loader(limit=limit))) for limit in (4, 0.5, 10)] == [4, 4, 9]
    with pytest.raises(ValueError, match="9 minibatches of a pass are no multiple"):
        loader(update=10)


@pytest.mark.parametrize("at_its_end", [False, True])
def test_a_loader_of_another_size_begins_a_pass(at_its_end):
    batches = loader()
    iterator = iter(batches)
    for _ in range(9 if at_its_end else 2):
        next(iterator)
    batches.resize(8)
    batches.load_state_dict(batches.state_dict())
    assert [len(x) for x, _ in batches] == [8] * len(batches) == [8] * 19


@pytest.mark.parametrize("sampling", ["replacement", "shuffled"])
def test_groups_are_the_same_minibatches_stacked(sampling):
    single, grouped = loader(sampling), loader(sampling)
    sizes = iter([4, 1, 100, 2, 7])  # 9 minibatches a pass: the third and the last are cut short
    grouped.group = lambda: next(sizes)
    for _ in range(2):
        groups = list(grouped)
        groups = [(x, y) if x.ndim == 3 else (x[None], y[None]) for x, y in groups]  # one alone
        assert [len(x) for x, _ in groups] in ([4, 1, 4], [2, 7])
        apart = [(x, y) for xs, ys in groups for x, y in zip(xs, ys, strict=True)]
        assert taken(apart) == taken(single)


@pytest.mark.parametrize("sampling", ["replacement", "shuffled"])
def test_processes_share_the_rows_of_the_same_minibatch(sampling):
    whole = list(loader(sampling))
    parts = [list(loader(sampling, rank=rank, world_size=4)) for rank in range(4)]
    for i, (x, y) in enumerate(whole):
        assert torch.equal(x, torch.cat([part[i][0] for part in parts]))
        assert torch.equal(y, torch.cat([part[i][1] for part in parts]))
    with pytest.raises(ValueError, match="3 processes"):
        loader(sampling, world_size=3)


def test_a_repeating_loader_has_the_same_minibatches_in_every_pass():
    batches = loader(repeat=True)
    assert taken(batches) == taken(batches)


@pytest.mark.parametrize("sampling", ["replacement", "shuffled"])
@pytest.mark.parametrize("world_size", [1, 7])
def test_a_minibatch_may_be_larger_than_the_list(sampling, world_size):
    windows = Windows(stream(WORDS), 3)
    assert len(windows) < 896
    rows = 896 if sampling == "replacement" else len(windows) // world_size * world_size
    for rank in range(world_size):
        of = {"rank": rank, "world_size": world_size}
        batches = MinibatchLoader(windows, 896, torch.Generator(), sampling, **of)
        for _ in range(2):
            ((x, _),) = list(batches)
            assert len(x) == rows // world_size
        assert len(batches) == 1


@pytest.mark.parametrize("world_size", [1, 2, 3])
def test_evaluation_shows_every_example_once_over_all_processes(world_size):
    windows = Windows(stream(WORDS), 3)
    novel = torch.arange(len(windows)) % 2 == 0
    weights = torch.stack([torch.ones_like(novel), novel], 1)
    examples = distinct(windows, len(VOCAB), weights)
    of = {"batch_size": 50, "world_size": world_size}
    ranks = [EvaluationLoader(examples, rank=rank, **of) for rank in range(world_size)]
    assert len({len(rank) for rank in ranks}) == 1
    found = Counter()
    for chunk in (chunk for rank in ranks for chunk in rank):
        x, of, y, weights = chunk
        assert len(x.unique(dim=0)) == len(x)  # the network sees no window twice
        for *window, token, count, of_novel in torch.cat([x[of], y[:, None], weights], 1).tolist():
            found[(*window, token, True)] += of_novel
            found[(*window, token, False)] += count - of_novel
    x, y = windows[torch.arange(len(windows))]
    rows = torch.cat([x, y[:, None], novel[:, None]], 1).tolist()
    assert +found == Counter((*row[:-1], bool(row[-1])) for row in rows)


@pytest.mark.parametrize("world_size", [1, 2, 3])
def test_words_to_score_come_in_order_and_once_over_all_processes(world_size, monkeypatch):
    monkeypatch.setattr(loaders, "CHUNK", 7)
    ranks = [WordLoader(WORDS, rank, world_size) for rank in range(world_size)]
    chunks = zip(*ranks, strict=True)
    assert [word for shares in chunks for share in shares for word in share] == WORDS

import pytest
import torch

from lit_makemore.loaders import EvaluationLoader, MinibatchLoader, WordLoader
from lit_makemore.windows import Windows
from tests.conftest import WORDS
from tests.test_windows import lecture, stream


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

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lit_makemore.network.mlp import MLP, Init
from lit_makemore.sampling.generate import generate, seeded
from lit_makemore.sampling.sampler import BATCH, Decoding, Sampler
from lit_makemore.sampling.scoring import score
from lit_makemore.words.vocab import Vocabulary

LETTERS = Vocabulary("abcdefghijklmnopqrstuvwxyz")
NONE = torch.empty(0, dtype=torch.int64)


class Spells(torch.nn.Module):
    """Always spells "abba" whatever came before; a network whose names are known."""

    def __init__(self) -> None:
        super().__init__()
        self.unused = torch.nn.Parameter(torch.zeros(1))

    def forward(self, x):
        following = {(0, 0): 1, (0, 1): 2, (1, 2): 2, (2, 2): 1, (2, 1): 0}
        logits = torch.full((len(x), 3), -100.0)
        for row, window in enumerate(x.tolist()):
            logits[row, following.get(tuple(window), 0)] = 100.0
        return logits


def network(block_size: int = 3, seed: int = 1) -> MLP:
    """A network with clear preferences, untrained."""
    net = MLP(27, block_size, n_layer=1, generator=torch.Generator().manual_seed(seed))
    net.layers[-1].weight.data *= 15
    net.layers[-1].bias.data[0] = 1.0
    return net.eval()


def names(net, num=50, seed=1, block_size=3, **arguments) -> list[str]:
    draws = generate(Sampler(net, LETTERS, block_size, **arguments), num, seeded(seed), NONE)
    return [name for draw in draws for name in draw.names]


def test_names_are_spelled_from_the_window_until_the_end_mark():
    draw = next(Sampler(Spells().eval(), Vocabulary("ab"), 2).draw(torch.Generator(), 3))
    assert draw.names == ["abba"] * 3
    assert draw.log_probabilities.tolist() == pytest.approx([0, 0, 0], abs=1e-6)
    assert draw.cut.tolist() == [False] * 3


class Repeats(Spells):
    """Spells "aaa…" and never ends."""

    def forward(self, x):
        return torch.tensor([-100.0, 100.0, -100.0]).expand(len(x), 3)


def test_a_name_that_does_not_end_is_cut_and_marked():
    sampler = Sampler(Repeats().eval(), Vocabulary("ab"), 2)
    sampler.limit = 100
    draw = next(sampler.draw(torch.Generator(), 2))
    assert draw.names == ["a" * sampler.limit] * 2
    assert draw.cut.tolist() == [True, True]


def test_dna_of_hundreds_of_letters_is_not_cut():
    """The network forgets how long a word is: each letter is the last one of 250 on average."""
    net = MLP(5, 3, n_layer=1, norm="none", init=Init(logits_gain=0)).eval()
    net.layers[-1].bias.data[0] = -math.log(249 / 4)
    draw = next(Sampler(net, Vocabulary("acgt"), 3).draw(seeded(1), 300))
    assert max(map(len, draw.names)) > 1000
    assert not draw.cut.any()


def test_max_length_draws_the_names_that_end_within_it():
    free, short = names(network(), 300), names(network(), 300, max_length=4)
    kept = [name for name in free[:320] if len(name) <= 4]
    assert 20 < len(kept) < 280  # else the test shows nothing
    same = [name for name in free[:64] if len(name) <= 4]  # of the first batch
    assert short[: len(same)] == same
    assert {len(name) for name in short} == {1, 2, 3, 4}
    assert names(network(), 20, max_length=10**7) == names(network(), 20)  # takes no more memory


def test_names_that_are_never_short_enough_are_an_error(monkeypatch):
    monkeypatch.setattr("lit_makemore.sampling.generate.GIVE_UP", 1)
    sampler = Sampler(Spells().eval(), Vocabulary("ab"), 2, max_length=3)
    with pytest.raises(ValueError, match="none of 5,440 names ends within max_length 3"):
        list(generate(sampler, 1, seeded(1), NONE))


def test_a_large_vocabulary_draws_fewer_names_at_once():
    """4,096 rows of 9,000 probabilities each made the names of one run take a minute."""
    chars = "".join(chr(0x4E00 + i) for i in range(9000))
    sampler = Sampler(MLP(9001, 3, n_hidden=8, n_layer=1).eval(), Vocabulary(chars), 3)
    assert sampler.batch * 9001 <= 2**20
    sampler.limit = 3
    assert sum(len(draw.names) for draw in generate(sampler, 150, seeded(1), NONE)) == 150
    assert Sampler(network(), LETTERS, 3).batch == BATCH


def test_the_generator_alone_decides_and_a_longer_draw_begins_like_a_shorter_one():
    few, many = names(network(), 20), names(network(), BATCH + 10)
    assert few == names(network(), 20) != names(network(), 20, seed=2)
    assert many[:20] == few
    assert len(many) == BATCH + 10


@pytest.mark.parametrize(
    ("block_size", "dtype"),
    [*((n, torch.float32) for n in (1, 3, 5, 14)), *((n, torch.bfloat16) for n in (3, 5))],
)
def test_a_drawn_name_has_the_log_probability_that_scoring_gives_it(block_size, dtype):
    """One window tabulated, one asked for distinct windows, one too long to be numbered."""
    net = network(block_size).to(dtype)
    draw = next(Sampler(net, LETTERS, block_size).draw(seeded(1), 50))
    assert draw.log_probabilities.dtype == torch.float32
    scores = score(net, LETTERS, block_size, draw.names)
    torch.testing.assert_close(draw.log_probabilities, scores, rtol=1e-5, atol=1e-5)


def test_a_prefix_begins_every_name_and_leaves_the_rest_to_the_network():
    net = network()
    drawn = names(net, 200, prefix="mar")
    assert all(name.startswith("mar") for name in drawn)
    assert len(set(drawn)) > 20
    with pytest.raises(ValueError, match="'é'"):
        Sampler(net, LETTERS, 3, prefix="zoé")
    with pytest.raises(ValueError, match="eval"):
        Sampler(MLP(27), LETTERS, 3)


@given(st.lists(st.integers(-9, 9), min_size=2, max_size=12), st.integers(1, 12))
def test_top_k_keeps_the_k_likeliest(logits, k):
    p = Decoding(top_k=k).probabilities(torch.tensor([logits]).float())[0]
    kept = (p > 0).sum().item()
    assert kept == min(k, len(logits))
    assert p.sum().item() == pytest.approx(1, abs=1e-5)
    if 0 < kept < len(logits):
        values = torch.tensor(logits)
        assert values[p > 0].min() >= values[p == 0].max()


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        ({"top_p": 0.4}, [1.0]),  # the fewest that reach it
        ({"top_p": 0.5}, [1.0]),
        ({"top_p": 0.6}, [0.625, 0.375]),
        ({"top_p": 1.0}, [0.5, 0.3, 0.15, 0.05]),
        ({"top_k": 2, "top_p": 0.62}, [1.0]),  # of what top_k left, 0.5/0.8 suffices
    ],
)
def test_top_p_keeps_the_fewest_that_reach_it(options, kept):
    p = Decoding(**options).probabilities(torch.tensor([[0.5, 0.3, 0.15, 0.05]]).log())[0]
    assert p[p > 0].tolist() == pytest.approx(kept, abs=1e-6)


def test_temperature_divides_the_logits_and_a_tiny_one_takes_the_likeliest():
    logits = torch.tensor([[1.0, 4.0, 2.0]])
    p = Decoding(temperature=0.5).probabilities(logits)
    torch.testing.assert_close(p, (logits * 2).softmax(1))
    assert Decoding(temperature=1e-40).probabilities(logits).tolist() == [[0, 1, 0]]

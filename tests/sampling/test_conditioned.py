"""The referee of a condition: the probability of every name of a tiny vocabulary, one by one."""

from collections import Counter
from fnmatch import fnmatchcase
from itertools import product

import pytest
import torch
from scipy.stats import chisquare

from lit_makemore.network.mlp import MLP
from lit_makemore.sampling import conditioned
from lit_makemore.sampling.conditioned import ConditionedSampler, sampler
from lit_makemore.sampling.conditions import Condition
from lit_makemore.sampling.generate import generate, seeded
from lit_makemore.sampling.sampler import Decoding, Sampler
from lit_makemore.sampling.scoring import score
from lit_makemore.words.vocab import Vocabulary

ABC = Vocabulary(" abc")
LONGEST = 5
WORDS = ["".join(c) for n in range(1, LONGEST + 1) for c in product(ABC.chars, repeat=n)]
NAMES = [word for word in WORDS if word == word.strip()]
CONDITIONS = [
    (Condition(max_length=5), "*"),
    (Condition(min_length=3, max_length=4), "*"),
    (Condition(suffix="ab", max_length=5), "*ab"),
    (Condition(prefix="a", suffix="a", max_length=5), "a*"),
    (Condition(pattern="?b??"), "?b??"),
    (Condition(pattern="a*b?", min_length=4, max_length=5), "a*b?"),
    (Condition(prefix="b ", pattern="??*?", max_length=5), "b ?*"),
]
DECODINGS = [Decoding(), Decoding(temperature=1.5, top_k=3)]


def network(block_size: int = 2) -> MLP:
    net = MLP(5, block_size, n_hidden=8, n_layer=1, generator=torch.Generator().manual_seed(2))
    net.layers[-1].weight.data *= 8
    return net.eval()


@torch.no_grad()
def probability(net: MLP, name: str, decoding: Decoding) -> float:
    """The probability with which a name is drawn: the product over its characters."""
    tokens, p = [0, 0, *ABC.encode(name), 0], 1.0
    for i in range(len(name) + 1):
        logits = net(torch.tensor([tokens[i : i + 2]]))
        no_name = [0, ABC.stoi[" "]] if i == 0 else [0] if name[i - 1] == " " else []
        logits[0, no_name] = -torch.inf
        p *= float(decoding.probabilities(logits)[0, tokens[i + 2]])
    return p


def referee(condition: Condition, pattern: str, decoding: Decoding) -> dict[str, float]:
    """The names that fit, with their probabilities."""
    return {
        name: probability(network(), name, decoding)
        for name in NAMES
        if fnmatchcase(name, pattern)
        and name.endswith(condition.suffix)
        and condition.min_length <= len(name) <= (condition.max_length or LONGEST)
    }


def drawn(source: Sampler, num: int) -> list[str]:
    draws = generate(source, num, seeded(1), torch.empty(0, dtype=torch.int64))
    return [name for draw in draws for name in draw.names]


def p_value(names: list[str], expected: dict[str, float]) -> float:
    """Of a chi-square test; names that are expected fewer than five times are one cell."""
    share, counts = sum(expected.values()), Counter(names)
    cells = {name: p / share * len(names) for name, p in expected.items()}
    common = [name for name, cell in cells.items() if cell >= 5]
    observed = [counts[name] for name in common]
    expects = [cells[name] for name in common]
    rest = len(names) - sum(expects)
    if rest > 1e-6 * len(names):
        observed, expects = [*observed, len(names) - sum(observed)], [*expects, rest]
    return float(chisquare(observed, expects, sum_check=False).pvalue)


@pytest.mark.parametrize(
    ("exact", "decoding"),
    [(True, DECODINGS[0]), (True, DECODINGS[1]), (False, DECODINGS[1])],
    ids=["exact", "decoded", "rejected"],
)
@pytest.mark.parametrize(("condition", "pattern"), CONDITIONS)
def test_names_have_the_networks_distribution_given_the_condition(
    monkeypatch, condition, pattern, decoding, exact
):
    if not exact:
        monkeypatch.setattr(conditioned, "MAX_CELLS", 0)
        monkeypatch.setattr("lit_makemore.sampling.sampler.TABLE", 0)
    expected = referee(condition, pattern, decoding)
    source = sampler(network(), ABC, 2, decoding, condition)
    assert isinstance(source, ConditionedSampler) == (exact and not condition.is_simple)
    names = drawn(source, num := 8_000 if exact else 3_000)
    assert len(names) == num
    assert set(names) <= {name for name, p in expected.items() if p > 0}
    assert p_value(names, expected) > 1e-3
    if isinstance(source, ConditionedSampler):
        assert source.probability == pytest.approx(sum(expected.values()), rel=1e-6)


def test_without_a_limit_the_probability_is_that_of_a_markov_chain():
    """A window of one character: the closed form is an inverse matrix."""
    net = network(1)
    p = net(torch.arange(5)[:, None]).double().softmax(1).detach()
    p[0, :2] = p[1, 0] = 0  # no empty names, and no white space at an end
    p /= p.sum(1, keepdim=True)
    visits = torch.linalg.inv(torch.eye(4) - p[1:, 1:])  # expected, from each character to each
    ends_in_b = float((p[0, 1:] @ visits)[2] * p[3, 0])
    source = sampler(net, ABC, 1, condition=Condition(suffix="b"))
    assert source.probability == pytest.approx(ends_in_b, rel=1e-6)
    names = drawn(source, 5000)
    assert {name[-1] for name in names} == {"b"}
    assert max(map(len, names)) > 10


def test_log_probabilities_are_those_of_the_network_and_a_longer_draw_begins_like_a_shorter():
    net = network()
    source = sampler(net, ABC, 2, DECODINGS[1], Condition(pattern="*b?"))
    draw = next(source.draw(seeded(1), 64)).at(range(50))
    torch.testing.assert_close(draw.log_probabilities, score(net, ABC, 2, draw.names))
    longer = drawn(source, source.batch + 10)
    assert longer[:50] == draw.names
    assert len(longer) == source.batch + 10


def test_a_long_window_is_exact_where_the_pattern_leaves_little_open():
    """Twenty characters have no number in 64 bits."""
    net = MLP(5, 20, n_hidden=4, n_layer=1).eval()
    assert isinstance(
        sampler(net, ABC, 20, condition=Condition(pattern="ab??")), ConditionedSampler
    )
    assert type(sampler(net, ABC, 20, condition=Condition(suffix="ab"))) is Sampler


def test_chances_at_too_many_positions_are_not_kept(monkeypatch):
    monkeypatch.setattr(conditioned, "MAX_CHANCES", 1000)
    assert type(sampler(network(), ABC, 2, condition=Condition(suffix="ab"))) is Sampler


def test_a_prefix_or_a_limit_alone_is_drawn_as_ever():
    source = sampler(network(), ABC, 2, condition=Condition(prefix="ab", max_length=4))
    assert drawn(source, 50) == drawn(Sampler(network(), ABC, 2, Decoding(), "ab", 4), 50)


def test_what_the_network_never_draws_is_an_error(monkeypatch):
    greedy = network(), ABC, 2, Decoding(top_k=1), Condition(min_length=1, pattern="?a?b?c?")
    with pytest.raises(ValueError, match="draws no name that fits; ask for less, or top_p 1"):
        sampler(*greedy)
    monkeypatch.setattr(conditioned, "MAX_CELLS", 0)
    with pytest.raises(ValueError, match="none of 206,144 names fits"):
        drawn(sampler(*greedy), 1)


def test_a_length_that_no_name_has_is_refused_at_once():
    with pytest.raises(ValueError, match="^min_length 1,000,.* here: 10,000 at most"):
        sampler(network(), ABC, 2, condition=Condition(min_length=10**12))

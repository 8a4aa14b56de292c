import pytest
import torch

from lit_makemore.network.mlp import MLP
from lit_makemore.sampling.scoring import PIECE, logits_of, score
from tests.sampling.test_sampler import LETTERS, network

WORDS = ["a", "marta", "maximilian"]


def with_low_logits() -> MLP:
    """A network that has bfloat16 logits where no float32 bias is added to them."""
    net = MLP(
        27, n_layer=1, logits_batch_norm=True, generator=torch.Generator().manual_seed(1)
    ).eval()
    net.layers[-1].weight.data.fill_(2)
    return net


@torch.no_grad()
def by_hand(net, word: str) -> float:
    """The sum over the characters, computed in float64 from the network's logits."""
    tokens = [0, 0, 0, *LETTERS.encode(word), 0]
    windows = torch.tensor([tokens[i : i + 3] for i in range(len(word) + 1)])
    logits = net(windows)
    assert logits.dtype == torch.bfloat16
    return float(logits.double().log_softmax(1)[range(len(windows)), tokens[3:]].sum())


def test_log_probabilities_are_computed_in_float32_at_least():
    """In bfloat16 they would be off by about a hundredth."""
    net = with_low_logits().bfloat16()
    scores = score(net, LETTERS, 3, WORDS)
    assert scores.dtype == torch.float32
    assert scores.tolist() == pytest.approx([by_hand(net, word) for word in WORDS], rel=1e-6)


def test_a_score_is_the_sum_of_the_characters_log_probabilities():
    net = network()
    windows = torch.tensor([[0, 0, 0], [0, 0, 2], [0, 2, 1]])
    log_p = net(windows).log_softmax(1)
    expected = log_p[0, 2] + log_p[1, 1] + log_p[2, 0]  # b, a, end
    torch.testing.assert_close(score(net, LETTERS, 3, ["ba"]), expected[None])
    assert score(net, LETTERS, 3, []).shape == (0,)
    assert score(net.double(), LETTERS, 3, WORDS).dtype == torch.float64


def test_logits_do_not_depend_on_the_pieces_they_are_computed_in():
    net, windows = network(), torch.randint(0, 27, (PIECE + 5, 3))
    expected = torch.cat([net(windows[:PIECE]), net(windows[PIECE:])])
    assert torch.equal(logits_of(net, windows), expected)
    assert not logits_of(net, windows).requires_grad

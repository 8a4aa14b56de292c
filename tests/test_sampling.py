import pytest
import torch

from lit_makemore.mlp import MLP
from lit_makemore.sampling import sample
from lit_makemore.vocab import Vocabulary


class Spells(torch.nn.Module):
    """Always spells "abba" whatever came before; a network whose names are known."""

    def __init__(self) -> None:
        super().__init__()
        self.unused = torch.nn.Parameter(torch.zeros(1))

    def forward(self, x):
        following = {(0, 0): 1, (0, 1): 2, (1, 2): 2, (2, 2): 1, (2, 1): 0}
        logits = torch.full((len(x), 3), -100.0)
        for row, window in enumerate(x.tolist()):
            logits[row, following[tuple(window)]] = 100.0
        return logits


def test_names_are_spelled_from_the_window_until_the_end_mark():
    assert sample(Spells().eval(), Vocabulary("ab"), 2, 3, torch.Generator()) == ["abba"] * 3


def test_a_name_that_does_not_end_is_cut():
    assert sample(Spells().eval(), Vocabulary("ab"), 2, 1, torch.Generator(), 3) == ["abb"]


def test_the_generator_alone_decides():
    net, vocab = MLP(27).eval(), Vocabulary("abcdefghijklmnopqrstuvwxyz")
    draws = [sample(net, vocab, 3, 50, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)]
    assert draws[0] == draws[1] != draws[2]


def test_training_mode_is_refused():
    with pytest.raises(ValueError, match="eval"):
        sample(MLP(27), Vocabulary("a"), 3, 1, torch.Generator())

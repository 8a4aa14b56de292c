import pytest
import torch
from torch import nn

from lit_makemore.diagnostics.words import known_samples
from lit_makemore.training.datamodule import NamesDataModule
from lit_makemore.words.vocab import Vocabulary


class Speller(nn.Module):
    """Draws two characters from those given, then ends."""

    def __init__(self, vocab: Vocabulary, chars: str) -> None:
        super().__init__()
        spelt = torch.full((2, len(vocab)), -1e9)
        spelt[0, [vocab.stoi[c] for c in chars]] = 0.0
        spelt[1, 0] = 0.0
        self.logits = nn.Parameter(spelt)

    def forward(self, x):
        return self.logits[(x[:, -2] != 0).long()]


def known(tmp_path, words, chars):
    path = tmp_path / "words.txt"
    path.write_text("\n".join(words) + "\n")
    data = NamesDataModule(str(path), split_seed=2)
    data.setup("validate")
    return known_samples(Speller(data.vocab, chars).eval(), data)


def test_training_words_are_natural_where_the_list_holds_all_words_there_are(tmp_path):
    pairs = [a + b for a in "abcdefghij" for b in "abcdefghij"]
    found = known(tmp_path, pairs, "abcdefghij")
    assert 0.7 < found.train < 0.9
    assert abs(found.natural - found.train) < 0.2


@pytest.mark.parametrize("repeated", [True, False])
def test_whoever_draws_training_words_only_has_learnt_them_by_heart(tmp_path, repeated):
    """But of a list of repeated words they are natural."""
    chars = "abcd" if repeated else "ab"
    words = [a + b for a in chars for b in chars]
    others = [a + b + c for a in "cdefg" for b in "cdefg" for c in "cdefg"]
    found = known(tmp_path, words * 20 if repeated else [*words, *others], chars)
    assert (found.train, found.natural) == (1, repeated)

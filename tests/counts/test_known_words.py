"""The referee computes the probability of whole words, character by character."""

import math

import pytest
import torch

from lit_makemore import model as checkpoint
from lit_makemore.cli import main
from lit_makemore.counts.known_words import KnownWords
from lit_makemore.counts.mixture import Mixture
from lit_makemore.counts.ngrams import KneserNey
from lit_makemore.network.mlp import MLP
from lit_makemore.sampling.scoring import score
from lit_makemore.training.datamodule import NamesDataModule
from lit_makemore.training.metrics import evaluate
from lit_makemore.words.windows import Windows, distinct
from tests.conftest import WORDS
from tests.words.test_windows import VOCAB, stream

V = len(VOCAB)
LETTERS = VOCAB.chars


def examples(words: list[str], block_size: int):
    return distinct(Windows(stream(words), block_size), V)


class Model(torch.nn.Module):
    """A network whose predictions are mixed with the counts of some words."""

    def __init__(self, words: list[str], block_size: int, known: bool = True) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.net = MLP(V, block_size, n_hidden=8, n_layer=1).eval().double()
        x, y, n = examples(words, block_size)
        self.mixture = Mixture(KneserNey(x, y, n, V))
        if known:
            self.mixture = KnownWords(self.mixture, x, y)

    def forward(self, x):
        return self.mixture(self.net(x), x)

    def fit(self, held_out: list[str]) -> "Model":
        x, y, n = examples(held_out, self.net.layers[0].in_features // 10)
        self.mixture.fit(self.net, [(x, torch.arange(len(y)), y, torch.stack([n, n], 1))])
        return self


def log_p(model, block_size: int, words: list[str]) -> torch.Tensor:
    return score(model, VOCAB, block_size, words).double()


@pytest.mark.parametrize("block_size", [4, 6, 16])  # the last overflows V ** block_size in 64 bits
def test_known_words_get_one_factor_and_all_others_another(block_size):
    """A training word that is as long as the window is no known word."""
    words = WORDS[:20] * 2
    short = sorted({word for word in words if len(word) < block_size})
    long = sorted({word for word in words if len(word) >= block_size})
    strange = [*WORDS[20:], words[0] + LETTERS[0], words[0][:-1], LETTERS[3] * 20, LETTERS[2]]
    others = [word for word in strange if word not in words] + long
    assert short
    held_out = [*strange, *short[:3]]
    corrected = Model(words, block_size).fit(held_out)
    plain = Model(words, block_size, known=False).fit(held_out)
    found = sum(word in short for word in held_out)
    mass = float(log_p(plain, block_size, short).exp().sum())
    share = (found + mass) / (len(held_out) + 1)
    assert (corrected.mixture.mass, corrected.mixture.share) == pytest.approx((mass, share))
    for group, factor in ((short, share / mass), (others, (1 - share) / (1 - mass))):
        ratio = log_p(corrected, block_size, group) - log_p(plain, block_size, group)
        torch.testing.assert_close(ratio, torch.full_like(ratio, math.log(factor)))


def test_every_distribution_still_sums_to_one():
    model = Model(WORDS, 6).fit(WORDS[:3])
    torch.manual_seed(1)
    x = torch.cat([examples(WORDS, 6)[0], torch.randint(0, V, (50, 6))])
    sums = model(x).exp().sum(1)
    torch.testing.assert_close(sums, torch.ones_like(sums))


def test_before_it_is_fitted_and_for_windows_too_short_for_any_word_it_changes_nothing():
    x, _, _ = examples(WORDS, 6)
    torch.testing.assert_close(Model(WORDS, 6)(x), Model(WORDS, 6, known=False)(x))
    words = [word for word in WORDS if len(word) > 1]
    for block_size in (1, 2):
        x, _, _ = examples(words, block_size)
        models = (Model(words, block_size, known).fit(words[:5]) for known in (True, False))
        torch.testing.assert_close(*(model(x) for model in models))


def test_a_network_that_is_nan_is_left_as_it_is():
    broken = Model(WORDS, 6)
    broken.net.layers[-1].bias.data[1] = torch.nan
    assert broken.fit(WORDS[:5]).mixture.q is None


def test_the_state_dict_carries_all_of_it():
    model, blank = Model(WORDS, 6).fit(WORDS[:3]), Model(WORDS[:12], 6)
    blank.load_state_dict(model.state_dict())
    x, _, _ = examples(WORDS, 6)
    assert torch.equal(blank(x), model(x))


def test_a_run_reports_saves_and_evaluates_them(tmp_path, word_list, capsys):
    """The loss falls: no held-out word of this list is a training word."""
    arguments = ["fit", "--data.path", str(word_list), "--data.batch_size", "16", "--threads", "1"]
    arguments += ["--data.block_size", "8", "--model.n_hidden", "30", "--model.lr", "0.5"]
    arguments += ["--model.count_mixture", "true", "--model.known_words", "true"]
    arguments += ["--trainer.max_steps", "100", "--trainer.val_check_interval", "100"]
    arguments += ["--runs_dir", str(tmp_path), "--name", "run", "--trainer.accelerator", "cpu"]
    assert main([*arguments, "--diagnostics.enabled", "false"]) == 0
    assert "as among the val words" in capsys.readouterr().out.replace("\n", " ")
    best = tmp_path / "run" / "checkpoints" / "best.ckpt"
    model = checkpoint.load(best)
    known = model.mixture
    assert isinstance(known, KnownWords)
    assert known.share == pytest.approx(known.mass / 4)  # none of three val words
    config = f"{tmp_path}/run/config.yaml"
    assert main(["validate", "--config", config, "--ckpt_path", str(best)]) == 0
    shown = capsys.readouterr().out
    data = NamesDataModule(path=str(word_list), block_size=8)
    data.setup()
    loss = evaluate(model, data.evaluation_loader("val"))["loss"]
    assert f"{loss:.4f}" in shown
    assert f"{known.mass:.4f}" in shown
    x, _, _ = data.splits["val"].examples
    torch.testing.assert_close(model.folded()(x), model(x), rtol=1e-4, atol=1e-5)
    model.mixture = known.mixture
    assert loss < evaluate(model, data.evaluation_loader("val"))["loss"]

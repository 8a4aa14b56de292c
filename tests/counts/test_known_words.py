"""The referee computes the probability of whole words, character by character."""

import math

import pytest
import torch

from lit_makemore import model as checkpoint
from lit_makemore.cli import main
from lit_makemore.counts.known_words import KnownWords
from lit_makemore.counts.mixture import Mixture
from lit_makemore.counts.ngrams import Uniform
from lit_makemore.network.mlp import MLP
from lit_makemore.sampling.scoring import scores
from lit_makemore.training.datamodule import NamesDataModule
from lit_makemore.training.metrics import evaluate
from lit_makemore.words.windows import Windows, distinct
from tests.conftest import WORDS
from tests.words.test_windows import VOCAB, stream

V = len(VOCAB)
LETTERS = VOCAB.chars


def examples(words: list[str], block_size: int):
    return distinct(Windows(stream(words), block_size), V)


def known_words(words: list[str], block_size: int) -> KnownWords:
    x, y, _ = examples(words, block_size)
    return KnownWords.of_examples(x, y, V)


def mixture(block_size: int, known: KnownWords | None = None) -> Mixture:
    torch.manual_seed(0)
    net = MLP(V, block_size, n_hidden=8, n_layer=1).eval().double()
    return Mixture(net, Uniform(V), 0.7, known)


def log_p(model, block_size: int, words: list[str]) -> torch.Tensor:
    return torch.tensor(scores(model, VOCAB, block_size, words), dtype=torch.float64)


@pytest.mark.parametrize("block_size", [4, 6, 16])  # the last overflows V ** block_size in 64 bits
def test_known_words_get_one_factor_and_all_others_another(block_size):
    """A training word that is as long as the window is no known word."""
    words = WORDS[:20] * 2
    short = sorted({word for word in words if len(word) < block_size})
    long = sorted({word for word in words if len(word) >= block_size})
    strange = [*WORDS[20:], words[0] + LETTERS[0], words[0][:-1], LETTERS[3] * 20, LETTERS[2]]
    others = [word for word in strange if word not in words] + long
    assert short
    plain = mixture(block_size)
    fitted = known_words(words, block_size).fitted(plain, 3, 15)
    mass = float(log_p(plain, block_size, short).exp().sum())
    share = (3 + mass) / (15 + 1)
    assert (fitted.mass, fitted.share) == pytest.approx((mass, share))
    corrected = mixture(block_size, fitted)
    for group, factor in ((short, share / mass), (others, (1 - share) / (1 - mass))):
        found = log_p(corrected, block_size, group) - log_p(plain, block_size, group)
        torch.testing.assert_close(found, torch.full_like(found, math.log(factor)))


def test_every_distribution_still_sums_to_one():
    fitted = known_words(WORDS, 6).fitted(mixture(6), 1, 100)
    torch.manual_seed(1)
    x = torch.cat([examples(WORDS, 6)[0], torch.randint(0, V, (50, 6))])
    sums = mixture(6, fitted)(x).exp().sum(1)
    torch.testing.assert_close(sums, torch.ones_like(sums))


def test_training_words_are_found_among_others():
    known = known_words(WORDS[:20], 6)
    held_out = [*WORDS[15:], *WORDS[15:18], WORDS[0] + LETTERS[0]]
    x, y, n = examples(held_out, 6)
    count = sum(word in WORDS[:20] and len(word) < 6 for word in held_out)
    assert count > 0
    assert known.found_among(x, y, n) == (count, len(held_out))


def test_before_it_is_fitted_it_changes_nothing():
    x, _, _ = examples(WORDS, 6)
    torch.testing.assert_close(mixture(6, known_words(WORDS, 6))(x), mixture(6)(x))


@pytest.mark.parametrize("block_size", [1, 2])
def test_a_window_too_short_for_any_word_changes_nothing(block_size):
    words = [word for word in WORDS if len(word) > 1]
    known = known_words(words, block_size).fitted(mixture(block_size), 1, 5)
    x, _, _ = examples(words, block_size)
    torch.testing.assert_close(mixture(block_size, known)(x), mixture(block_size)(x))


def test_a_network_that_is_nan_is_left_as_it_is():
    broken = mixture(6)
    broken.net.layers[-1].bias.data[1] = torch.nan
    assert known_words(WORDS, 6).fitted(broken, 1, 5).q is None


def test_they_need_a_mixture(word_list, tmp_path, capsys):
    arguments = ["fit", "--data.path", str(word_list), "--trainer.max_steps", "5"]
    arguments += ["--runs_dir", str(tmp_path / "runs"), "--model.known_words", "true"]
    assert main(arguments) == 1
    assert "it needs --model.count_mixture true" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


def test_a_run_reports_saves_and_evaluates_them(tmp_path, word_list, capsys):
    """The loss falls: no held-out word of this list is a training word."""
    arguments = ["fit", "--data.path", str(word_list), "--data.batch_size", "16", "--threads", "1"]
    arguments += ["--data.block_size", "8", "--model.n_hidden", "30", "--model.lr", "0.5"]
    arguments += ["--model.count_mixture", "true", "--model.known_words", "true"]
    arguments += ["--trainer.max_steps", "200", "--trainer.val_check_interval", "100"]
    arguments += ["--runs_dir", str(tmp_path), "--name", "run", "--trainer.accelerator", "cpu"]
    assert main(arguments) == 0
    assert "as among the val words" in capsys.readouterr().out.replace("\n", " ")
    best = tmp_path / "run" / "checkpoints" / "best.ckpt"
    model = checkpoint.load(best)
    known = model.known_words
    assert known is not None
    assert known.share == pytest.approx(known.mass / 4)  # none of three val words
    assert (
        main(["validate", "--config", f"{tmp_path}/run/config.yaml", "--ckpt_path", str(best)]) == 0
    )
    shown = capsys.readouterr().out
    data = NamesDataModule(path=str(word_list), block_size=8)
    data.setup()
    loss = evaluate(model.predictor, data.evaluation_loader("val"))["loss"]
    assert f"{loss:.4f}" in shown
    assert f"{known.mass:.4f}" in shown
    assert (
        loss < evaluate(Mixture(model.net, *model.mixture), data.evaluation_loader("val"))["loss"]
    )
    x, _, _ = data.splits["val"].examples
    torch.testing.assert_close(
        model.folded().predictor(x), model.predictor(x), rtol=1e-4, atol=1e-5
    )

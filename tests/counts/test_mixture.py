import math

import pytest
import torch
import torch.nn.functional as F

from lit_makemore import model as checkpoint
from lit_makemore.cli import main
from lit_makemore.counts.baselines import loss
from lit_makemore.counts.mixture import WEIGHTS, Mixture
from lit_makemore.counts.ngrams import KneserNey
from lit_makemore.network.mlp import MLP
from lit_makemore.training.datamodule import NamesDataModule
from lit_makemore.training.metrics import evaluate


@pytest.fixture
def data(word_list) -> NamesDataModule:
    module = NamesDataModule(path=str(word_list), batch_size=16)
    module.setup()
    return module


class Mixed(torch.nn.Module):
    """Windows to the log-probabilities of a network that is mixed."""

    def __init__(self, net, counts, weight):
        super().__init__()
        self.net, self.mixture = net, Mixture(counts, weight)
        self.eval()

    def forward(self, x):
        return self.mixture(self.net(x), x)


def chosen_weight(net, counts, batches) -> float:
    mixture = Mixture(counts)
    mixture.fit(net, batches)
    return mixture.weight


def test_a_mixture_is_the_weighted_mean_of_both_distributions(data):
    net = MLP(len(data.vocab)).eval()
    x, _, _ = data.splits["val"].examples
    p, q = F.softmax(net(x), 1), data.best_counts.probabilities(x)
    for weight in (0.0, 0.3, 1.0):
        found = Mixed(net, data.best_counts, weight)(x).softmax(1)
        torch.testing.assert_close(found.double(), weight * p.double() + (1 - weight) * q)


def test_the_weight_chosen_has_the_lowest_loss(data):
    torch.manual_seed(0)
    net = MLP(len(data.vocab)).eval()
    batches = data.evaluation_loader("val")
    each = {
        weight: evaluate(Mixed(net, data.best_counts, weight), batches)["loss"]
        for weight in WEIGHTS.tolist()
    }
    assert chosen_weight(net, data.best_counts, batches) == pytest.approx(min(each, key=each.get))


@pytest.mark.slow
def test_a_checkpoint_needs_nothing_else_for_its_mixture(tmp_path, data, word_list, capsys):
    """`validate`, `predict` and `sample` use it; the figure is the one that was reported."""
    arguments = ["fit", "--data.path", str(word_list), "--data.batch_size", "16"]
    arguments += ["--model.n_hidden", "10", "--model.count_mixture", "true", "--threads", "1"]
    arguments += ["--trainer.max_steps", "40", "--trainer.val_check_interval", "20"]
    arguments += ["--runs_dir", str(tmp_path), "--name", "run", "--trainer.accelerator", "cpu"]
    assert main(arguments) == 0
    printed, run = capsys.readouterr().out, tmp_path / "run"
    best = run / "checkpoints" / "best.ckpt"
    model = checkpoint.load(best)
    assert isinstance(model.mixture, Mixture)
    val = evaluate(model, data.evaluation_loader("val"))["loss"]
    alone = evaluate(model.net, data.evaluation_loader("val"))["loss"]
    x, y, n = data.splits["val"].examples
    assert val <= min(alone, loss(data.best_counts, x, y, n[:, 0])) + 1e-6
    assert f"{val:.4f}" in printed
    assert f"{alone:.4f}" in printed
    assert "the val words chose these weights" in printed
    usual = ["--config", str(run / "config.yaml"), "--ckpt_path", str(best)]
    assert main(["validate", *usual]) == 0
    assert f"{val:.4f}" in capsys.readouterr().out
    assert main(["predict", *usual, "--data.predict_path", str(word_list)]) == 0
    word, log_p = capsys.readouterr().out.splitlines()[1].split(",")[:2]
    assert float(log_p) == pytest.approx(model.score([word])[0], abs=1e-4)
    assert main(["sample", "--ckpt_path", str(best), "--num", "3", "--seed", "1"]) == 0
    assert (run / "samples.txt").read_text().count("\n") == 20


def test_a_network_that_is_nan_has_no_weight():
    class Nan(torch.nn.Module):
        def forward(self, x):
            return torch.full((len(x), 4), torch.nan)

    x, y = torch.tensor([[0], [1]]), torch.tensor([1, 2])
    batch = (x, torch.tensor([0, 1]), y, torch.ones(2, 2, dtype=torch.int64))
    counts = KneserNey(x, y, torch.ones(2, dtype=torch.int64), 4)
    assert math.isnan(chosen_weight(Nan(), counts, [batch]))

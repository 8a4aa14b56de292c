import math

import pytest
import torch
import torch.nn.functional as F
from scipy.optimize import minimize

from lit_makemore import model as checkpoint
from lit_makemore.cli import main
from lit_makemore.counts.mixture import DISCOUNTS, PRIOR, Mixture, entropies, evidence, loss
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

    def __init__(self, net, mixture):
        super().__init__()
        self.net, self.mixture = net, mixture
        self.eval()

    def forward(self, x):
        return self.mixture(self.net(x), x)


def followers(data: NamesDataModule, window: list[int], order: int) -> list[int]:
    """What the weight of a window knows: c(h) and n(h) of the longest end h that occurs."""
    x, y, times = data.splits["train"].examples
    for length in range(order, -1, -1):
        rows = (x[:, 3 - length :] == torch.tensor(window[3 - length :])).all(1)
        if rows.any():
            break
    if length == order:  # occurrences; of shorter windows, distinct characters before h w
        counted = times[rows, 0].sum()
    else:
        counted = len(
            {(row[2 - length].item(), w.item()) for row, w in zip(x[rows], y[rows], strict=True)}
        )
    return [int(counted), len(y[rows].unique())]


def test_the_weight_follows_from_what_is_known_of_a_window(data):
    net, weights = MLP(len(data.vocab)).eval(), torch.tensor([0.5, -0.7, 0.9, -0.3]).double()
    counts = data.best_counts
    x, _, _ = data.splits["val"].examples
    p, q = F.softmax(net(x), 1).double(), counts.probabilities(x)
    known = torch.tensor([followers(data, window, counts.order) for window in x.tolist()])
    entropy = torch.distributions.Categorical(p).entropy()
    evidence = torch.stack([torch.ones(len(x)), *known.log().T, entropy], 1).double()
    a = torch.sigmoid(evidence @ weights)[:, None]
    found = Mixed(net, Mixture(counts, weights.tolist()))(x).softmax(1)
    torch.testing.assert_close(found.double(), a * p + (1 - a) * q, rtol=1e-5, atol=1e-7)


def test_its_loss_is_the_networks_or_the_counts_where_one_has_all_the_weight(data):
    net = MLP(len(data.vocab)).eval()
    batches = data.evaluation_loader("val")
    mixture = Mixture(data.best_counts)
    assert evaluate(Mixed(net, mixture), batches) == pytest.approx(evaluate(net, batches))
    mixture.weights = -mixture.weights
    counting = data.baselines["kneser_ney"]["val"]
    assert evaluate(Mixed(net, mixture), batches)["loss"] == pytest.approx(counting)
    net.layers[-1].bias.data[1] = 30.0  # certain of one letter
    mixture.fit(net, batches)
    assert evaluate(Mixed(net, mixture), batches)["loss"] <= counting + 1e-6
    assert mixture.share < 0.5


@pytest.mark.parametrize("scale", [1.0, 5.0])
def test_the_weights_chosen_have_the_lowest_loss(data, scale):
    """As SciPy finds them, discount by discount."""
    torch.manual_seed(0)
    net, batches = MLP(len(data.vocab)).eval(), data.evaluation_loader("val")
    net.layers[-1].weight.data *= scale
    mixture = Mixture(data.best_counts)
    mixture.fit(net, batches)
    found = evaluate(Mixed(net, mixture), batches)["loss"]
    x, y, n = data.splits["val"].examples
    p = F.softmax(net(x), 1).detach().double()
    seen, n = data.best_counts.seen(x, y), n[:, 0].double()
    known, of_next = evidence(seen, entropies(p)), p.gather(1, y[:, None]).squeeze(1)
    losses = []
    for discount in DISCOUNTS:
        q = data.best_counts.smoothed(seen, discount).squeeze(1)

        def penalised(b, q=q):
            b = torch.as_tensor(b, dtype=torch.float64)
            return loss(of_next, q, known, n, b) + float(PRIOR @ b.square()) / 2

        b = torch.tensor(minimize(penalised, [0.0] * 4, tol=1e-9).x)
        losses.append(loss(of_next, q, known, n, b) / float(n.sum()))
    assert found == pytest.approx(min(losses), abs=1e-3)


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
    assert val <= min(alone, data.baselines["kneser_ney"]["val"]) + 1e-6
    assert f"{val:.4f}" in printed
    assert f"{alone:.4f}" in printed
    assert "the val words chose these weights" in printed
    usual = ["--config", str(run / "config.yaml"), "--ckpt_path", str(best)]
    assert main(["validate", *usual]) == 0
    assert f"{val:.4f}" in capsys.readouterr().out
    assert main(["predict", *usual, "--data.predict_path", str(word_list)]) == 0
    rows = capsys.readouterr().out.splitlines()[1:]
    word, log_p = rows[0].split(",")[:2]
    window, total = [0, 0, 0], 0.0
    for token in [*data.vocab.encode(word), 0]:
        with torch.no_grad():
            total += float(model(torch.tensor([window])).log_softmax(1)[0, token])
        window = [*window[1:], token]
    assert float(log_p) == pytest.approx(total, abs=1e-4)
    assert main(["sample", "--ckpt_path", str(best), "--num", "3", "--seed", "1"]) == 0
    assert (run / "samples.txt").read_text().count("\n") == 20


def test_the_discount_of_a_mixture_is_its_own(data):
    net, before = MLP(len(data.vocab)).eval(), data.best_counts.discount
    mixture = Mixture(data.best_counts)
    mixture.fit(net, data.evaluation_loader("val"))
    mixture.counts.discount = 0.123
    assert data.best_counts.discount == before


def test_the_mixture_with_a_network_that_is_nan_is_nan():
    class Nan(torch.nn.Module):
        def forward(self, x):
            return torch.full((len(x), 4), torch.nan)

    x, y = torch.tensor([[0], [1]]), torch.tensor([1, 2])
    batch = (x, torch.tensor([0, 1]), y, torch.ones(2, 2, dtype=torch.int64))
    mixture = Mixture(KneserNey(x, y, torch.ones(2, dtype=torch.int64), 4))
    mixture.fit(Nan(), [batch])
    assert math.isnan(mixture.share)
    assert Mixed(Nan(), mixture)(x).isnan().all()

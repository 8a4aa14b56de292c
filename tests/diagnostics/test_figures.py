"""The figures of a probe and of an update, by themselves and in fits."""

from math import inf, log10, nan

import pytest
import torch

from lit_makemore.diagnostics import figures
from lit_makemore.diagnostics.monitor import Monitor
from lit_makemore.diagnostics.probe import Probe, parameters_of, run_probe
from lit_makemore.diagnostics.settings import Diagnostics
from lit_makemore.network.mlp import MLP, cross_entropy
from lit_makemore.training.groups import AtUpdates
from tests.fits import fit


def test_activations_are_described_by_shares_of_values_and_of_units():
    t = torch.tensor([[0.99, 0.0], [0.98, 0.98]])
    found = figures.of_probe(Probe(None, {"a": t}, {"a": t.abs() > 0.97}, frozenset("a")))
    assert found == {
        "activation_mean/a": pytest.approx(float(t.mean())),
        "activation_std/a": pytest.approx(float(t.std())),
        "activation_saturated/a": 75,
        "activation_dead/a": 50,
    }


class Snapshots(AtUpdates):
    """The parameters after some updates."""

    def on_train_start(self, trainer, pl_module):
        self.taken = {0: self._parameters(pl_module)}

    def due(self, step):
        return next((one for one in (1, 9, 10, 19, 20, 29, 30) if one > step), inf)

    def on_train_batch_end(self, trainer, pl_module, *args):
        self.taken[trainer.global_step] = self._parameters(pl_module)

    def _parameters(self, module):
        return {k: p.detach().clone() for k, p in parameters_of(module.net).items()}


def watched(word_list, engine="autograd", model=None, **trainer_arguments):
    """A fit with its figures and its parameters, by update."""
    monitor, seen = Monitor(Diagnostics(every_n_steps=10, pictures=False)), Snapshots()
    model = {"n_layer": 2, "engine": engine, **(model or {})}
    module, data, _ = fit(word_list, 30, monitor, seen, model=model, **trainer_arguments)
    assert [step for step, _ in monitor.history] == [1, 10, 20, 30]
    assert monitor.history[-1][1] == monitor.figures
    return module, data, dict(monitor.history), seen.taken


ADAMW = {"optimizer": "adamw", "lr": 0.01, "weight_decay": 0.2}


@pytest.mark.parametrize(
    ("engine", "arguments"),
    [
        *((engine, {}) for engine in ("autograd", "native")),
        *((engine, {"gradient_clip_val": 0.1}) for engine in ("autograd", "native")),
        *((engine, {"model": ADAMW}) for engine in ("autograd", "native")),
        ("autograd", {"accumulate_grad_batches": 3}),  # adding up gradients is one update
    ],
)
def test_update_ratios_are_those_of_the_change_really_made(word_list, engine, arguments):
    _, _, found, taken = watched(word_list, engine, **arguments)
    for step in (10, 20, 30):
        before, after = taken[step - 1], taken[step]
        for (
            name
        ) in "embedding/weight hidden1/linear/weight hidden2/norm/bias logits/weight".split():
            change = (after[name] - before[name]).std() / before[name].std()
            ratio = found[step][f"update_ratio/{name}"]
            assert ratio == pytest.approx(log10(change), abs=1e-5), (step, name)
            if not arguments and name.endswith("weight"):  # plain SGD: the lecture's ratio
                assert found[step][f"lr_grad_ratio/{name}"] == pytest.approx(ratio, abs=1e-4)


def test_a_constant_parameter_has_no_ratio_and_no_change_is_the_smallest():
    constant, other = torch.full((27,), 0.1), torch.arange(5.0)
    assert constant.std() > 0  # by rounding: 1e-9
    before = {"a": constant, "b": other, "c": other}
    after = {"a": constant + 1, "b": other * 1.01, "c": other.clone()}
    expected = {"update_ratio/b": pytest.approx(-2), "update_ratio/c": -inf}
    assert figures.update_ratios(before, after) == expected


@pytest.mark.parametrize("engine", ["autograd", "native"])
def test_biases_before_batch_norm_are_noise_and_have_no_ratio(word_list, engine):
    found = watched(word_list, engine, {"redundant_bias": True})[2][20]
    names = {name.removeprefix("update_ratio/") for name in found if name.startswith("update_")}
    assert "logits/bias" in names  # no BatchNorm follows
    assert not names & {"hidden1/linear/bias", "hidden2/linear/bias"}


def test_held_out_losses_are_those_of_evaluation_and_the_lowest_is_kept(word_list):
    model, data, found, _ = watched(word_list, model={"dropout": 0.5})
    model.net.eval()
    for name in ("train", "val"):
        windows = data.splits[name].windows
        x, y = windows[torch.arange(len(windows))]
        expected = cross_entropy(model.net(x), y).item()
        assert found[30][f"held_out/{name}"] == pytest.approx(expected, abs=1e-5)
    least = min(found, key=lambda step: found[step]["held_out/val"])
    assert found[30]["held_out/lowest"] == found[least]["held_out/val"]
    assert found[30]["held_out/lowest_step"] == least


@pytest.mark.parametrize(
    ("poison", "named"),
    [
        (lambda net: net.layers[3].weight.data.fill_(nan), {"parameter hidden2/linear/weight"}),
        (lambda net: net.layers[1].running_var.fill_(inf), {"hidden1/norm/running_var"}),
        (
            lambda net: net.embedding.weight.data[0].fill_(nan),
            {"the loss", "gradient of embedding/weight", "activation hidden1/tanh"},
        ),
    ],
)
def test_tensors_that_are_not_finite_are_named(poison, named):
    torch.manual_seed(1)
    net = MLP(9, n_hidden=6, n_layer=2)
    x, y = torch.zeros(4, 3, dtype=torch.long), torch.zeros(4, dtype=torch.long)

    def found():
        return figures.nonfinite_tensors(net, run_probe(net, lambda: cross_entropy(net(x), y)))

    assert found() == []
    poison(net)
    assert named <= {*found()}

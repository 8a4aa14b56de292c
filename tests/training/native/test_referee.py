import logging

import pytest
import torch

from lit_makemore.network.mlp import MLP
from lit_makemore.training.datamodule import NamesDataModule
from lit_makemore.training.module import LitMLP
from lit_makemore.training.native import build, referee
from lit_makemore.training.native.native import NativeStep
from lit_makemore.training.native.referee import disagreement
from tests.training.test_module import trainer


def step_of(**options) -> NativeStep:
    torch.manual_seed(1)
    net = MLP(27, n_hidden=20, n_layer=2, **options)
    return NativeStep(build.library(), net, torch.optim.SGD(net.parameters(), 0.1), 16)


def minibatch():
    return torch.randint(0, 27, (16, 3)), torch.randint(0, 27, (16,))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"dropout": 0.4},
        {"redundant_bias": True, "logits_batch_norm": True},
        {"activation": "relu", "batch_norm": False},
    ],
)
def test_a_right_step_is_accepted_and_nothing_changes(options):
    step = step_of(**options)
    before = {name: tensor.clone() for name, tensor in step.net.state_dict().items()}
    random = torch.get_rng_state()
    batch = minibatch()
    torch.set_rng_state(random)
    assert disagreement(step, *batch) is None
    assert torch.equal(torch.get_rng_state(), random)
    for name, tensor in step.net.state_dict().items():
        assert torch.equal(tensor, before[name]), name


@pytest.mark.parametrize("name", ["embedding.weight", "layers.0.weight", "layers.4.bias"])
def test_a_gradient_that_is_one_per_cent_too_large_is_found(monkeypatch, name):
    step, gradients = step_of(), NativeStep.gradients

    def wrong(self, x, y):
        loss, found = gradients(self, x, y)
        return loss, {**found, name: found[name] * 1.01}

    monkeypatch.setattr(NativeStep, "gradients", wrong)
    assert f"gradient of {name} is off by 1.0e-02" in disagreement(step, *minibatch())


def test_a_diverging_network_is_not_the_steps_fault():
    step = step_of()
    step.net.layers[0].weight.data[0, 0] = torch.nan
    assert disagreement(step, *minibatch()) is None


def test_a_wrong_step_is_said_and_the_run_goes_on_eagerly(word_list, monkeypatch, caplog):
    """With the bits of an eager run."""
    states = {}
    for engine in ("eager", "auto"):
        torch.manual_seed(1)
        data = NamesDataModule(str(word_list), batch_size=16)
        model = LitMLP(data.chars, 3, n_hidden=8, n_layer=1, engine=engine)
        if engine == "auto":
            monkeypatch.setattr(referee, "TOLERANCE", -1.0)
        with caplog.at_level(logging.WARNING):
            trainer(10).fit(model, data)
        assert model.engine == "eager"
        states[engine] = model.state_dict()
    assert "the native step is wrong here (the loss is" in caplog.text
    for name, tensor in states["eager"].items():
        assert torch.equal(states["auto"][name], tensor), name

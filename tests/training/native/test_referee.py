"""What the referee accepts, and what it says. Edits of the module are in training/test_edits.py."""

import pytest
import torch

from lit_makemore.training.datamodule import NamesDataModule
from lit_makemore.training.module import LitMLP
from lit_makemore.training.native.native import NativeStep
from lit_makemore.training.native.referee import disagreement
from tests.training.test_module import trainer


def parts(word_list, **options):
    torch.manual_seed(1)
    data = NamesDataModule(str(word_list), batch_size=16)
    module = LitMLP(data.chars, 3, n_hidden=20, n_layer=2, **options)
    data.setup()
    return module, trainer(100), data.train_dataloader()


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"dropout": 0.4},
        {"redundant_bias": True, "logits_batch_norm": True},
        {"count_mixture": True},
        {"activation": "relu", "norm": "none"},
        {"activation": "linear", "bn_variance": "unbiased", "schedule": "one_cycle"},
    ],
)
def test_a_right_step_is_accepted_and_nothing_changes(word_list, optimizer, options):
    module, runner, loader = parts(word_list, optimizer=optimizer, lr=0.01, **options)
    before = {name: tensor.clone() for name, tensor in module.net.state_dict().items()}
    random, order = torch.get_rng_state(), loader.state_dict()
    assert disagreement(module, runner, loader) is None
    assert torch.equal(torch.get_rng_state(), random)
    assert str(loader.state_dict()) == str(order)
    for name, tensor in module.net.state_dict().items():
        assert torch.equal(tensor, before[name]), name


@pytest.mark.parametrize("name", ["embedding.weight", "layers.0.weight", "layers.6.bias"])
@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_a_change_that_is_one_per_cent_too_large_is_found(monkeypatch, word_list, name, optimizer):
    call = NativeStep.__call__

    def wrong(self, x, y, lrs):
        parameter = dict(self.net.named_parameters())[name]
        before = parameter.detach().clone()
        total = call(self, x, y, lrs)
        parameter.data += 0.01 * (parameter.data - before)
        return total

    monkeypatch.setattr(NativeStep, "__call__", wrong)
    module, runner, loader = parts(word_list, optimizer=optimizer, lr=0.01)
    assert f"{name} differs by 0.0" in disagreement(module, runner, loader)


def test_a_diverging_network_is_not_the_steps_fault(word_list):
    module, runner, loader = parts(word_list)
    module.net.layers[0].weight.data[0, 0] = torch.nan
    assert disagreement(module, runner, loader) is None

from math import inf, log10

import lightning.pytorch as pl
import pytest
import torch

from lit_makemore.diagnostics.gradients import GradientMonitor
from lit_makemore.diagnostics.monitor import due_update
from lit_makemore.diagnostics.probe import parameters_of
from lit_makemore.diagnostics.updates import UpdateMonitor, update_ratios
from lit_makemore.training.datamodule import NamesDataModule
from lit_makemore.training.module import LitMLP
from lit_makemore.training.schedules import is_due
from tests.training.test_module import trainer


class Snapshots(pl.Callback):
    """The parameters after every update, and the figures that the monitors wrote."""

    takes_groups = True

    def on_train_start(self, trainer, pl_module):
        self.taken, self.values = [self._parameters(pl_module)], {}

    def on_train_batch_end(self, trainer, pl_module, *args):
        step = trainer.global_step
        self.taken += [None] * (step - len(self.taken))  # inside a group
        if step == len(self.taken):
            self.taken.append(self._parameters(pl_module))
        if is_due(step, 10):
            self.values[step] = dict(due_update(trainer, step).figures)

    def _parameters(self, module):
        return {k: p.detach().clone() for k, p in parameters_of(module.net).items()}


def fit(word_list, engine="autograd", trainer_arguments=None, **arguments):
    torch.manual_seed(1)
    data = NamesDataModule(str(word_list), batch_size=16)
    model = LitMLP(data.chars, 3, n_hidden=8, n_layer=2, engine=engine, **arguments)
    seen = Snapshots()
    callbacks = [GradientMonitor(10), UpdateMonitor(10), seen]
    trainer(30, callbacks=callbacks, **(trainer_arguments or {})).fit(model, data)
    return seen


@pytest.mark.parametrize("engine", ["eager", "native"])
@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"trainer_arguments": {"gradient_clip_val": 0.1}},
        {"optimizer": "adamw", "lr": 0.01, "weight_decay": 0.2},
    ],
)
def test_the_ratio_is_that_of_the_change_really_made(word_list, engine, arguments):
    seen = fit(word_list, engine, **arguments)
    assert list(seen.values) == [1, 10, 20, 30]
    for step in (10, 20, 30):
        before, after = seen.taken[step - 1], seen.taken[step]
        for name in (
            "embedding/weight",
            "hidden1/linear/weight",
            "hidden2/norm/bias",
            "logits/weight",
        ):
            change = (after[name] - before[name]).std() / before[name].std()
            found = seen.values[step][f"update_ratio/{name}"]
            assert found == pytest.approx(log10(change), abs=1e-5), (step, name)


def test_adding_up_gradients_is_one_update(word_list):
    seen = fit(word_list, trainer_arguments={"accumulate_grad_batches": 3})
    assert list(seen.values) == [1, 10, 20, 30]
    change = seen.taken[10]["hidden1/linear/weight"] - seen.taken[9]["hidden1/linear/weight"]
    expected = log10(change.std() / seen.taken[9]["hidden1/linear/weight"].std())
    assert seen.values[10]["update_ratio/hidden1/linear/weight"] == pytest.approx(
        expected, abs=1e-5
    )


def test_plain_sgd_has_the_lectures_ratio(word_list):
    values = fit(word_list).values[20]
    for name in ("embedding/weight", "hidden1/linear/weight", "logits/weight"):
        lectures = values[f"lr_grad_ratio/{name}"]
        assert lectures == pytest.approx(values[f"update_ratio/{name}"], abs=1e-4)


def test_a_constant_parameter_has_no_ratio():
    constant, other = torch.full((27,), 0.1), torch.arange(5.0)
    assert constant.std() > 0  # by rounding: 1e-9
    found = update_ratios({"a": constant, "b": other}, {"a": constant + 1, "b": other * 1.01})
    assert found == {"update_ratio/b": pytest.approx(-2)}


def test_no_change_is_the_smallest_ratio():
    p = torch.arange(5.0)
    assert update_ratios({"a": p}, {"a": p.clone()}) == {"update_ratio/a": -inf}


@pytest.mark.parametrize("engine", ["eager", "native"])
def test_biases_before_batch_norm_are_noise_and_have_no_ratio(word_list, engine):
    values = fit(word_list, engine, redundant_bias=True).values[20]
    found = {tag.removeprefix("update_ratio/") for tag in values if tag.startswith("update_ratio")}
    assert "logits/bias" in found  # no BatchNorm follows
    assert not found & {"hidden1/linear/bias", "hidden2/linear/bias"}

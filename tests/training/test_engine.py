"""Which engine a run gets, and why. What edits do is in test_edits.py."""

import logging

import lightning.pytorch as pl
import pytest
import torch

from lit_makemore.training.datamodule import NamesDataModule
from lit_makemore.training.module import LitMLP
from lit_makemore.training.native import build, referee
from tests.training.test_module import trainer


class OneByOne(pl.Callback):
    def on_train_batch_end(self, *args) -> None:
        pass


def chosen(word_list, engine="auto", ckpt_path=None, steps=2, **trainer_arguments):
    """The module of a fit, and its Trainer."""
    torch.manual_seed(1)
    data = NamesDataModule(str(word_list), batch_size=16)
    module = LitMLP(data.chars, 3, n_hidden=8, n_layer=1, engine=engine)
    runner = trainer(steps, **trainer_arguments)
    runner.fit(module, data, ckpt_path=ckpt_path, weights_only=True)
    return module, runner


@pytest.mark.parametrize("engine", ["auto", "autograd", "manual", "native"])
def test_a_fit_has_the_engine_that_is_asked_for(word_list, engine, caplog):
    with caplog.at_level(logging.INFO, "lit_makemore"):
        module, _ = chosen(word_list, engine)
    assert module.engine == ("native" if engine == "auto" else engine)
    said = {"autograd": "steps by autograd", "manual": "steps by the gradients of"}
    assert sum(said.get(engine, "native steps") in line for line in caplog.messages) == 1


@pytest.mark.parametrize("before", ["autograd", "native"])
def test_a_resumed_run_keeps_its_engine(word_list, tmp_path, before):
    _, runner = chosen(word_list, before)
    runner.save_checkpoint(tmp_path / "x.ckpt")
    module, _ = chosen(word_list, ckpt_path=str(tmp_path / "x.ckpt"), steps=4)
    assert module.engine == before


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"detect_anomaly": True}, "--trainer.detect_anomaly"),
        ({"precision": "bf16-mixed"}, "--trainer.precision bf16-mixed"),
        ({"precision": "64-true"}, "--trainer.precision 64-true"),
        (
            {"gradient_clip_val": 1.0, "gradient_clip_algorithm": "value"},
            "--trainer.gradient_clip_algorithm value",
        ),
        ({"accumulate_grad_batches": 2}, "--trainer.accumulate_grad_batches"),
        ({"callbacks": [OneByOne()]}, "OneByOne sees every update"),
    ],
)
def test_what_excludes_native_steps(word_list, arguments, reason, caplog):
    with caplog.at_level(logging.INFO, "lit_makemore"):
        module, _ = chosen(word_list, **arguments)
    assert module.engine == "autograd"
    assert f"steps by autograd, one by one (no native ones: {reason})" in caplog.text
    with pytest.raises(ValueError, match="engine native is not possible: " + reason):
        chosen(word_list, "native", **arguments)


def test_without_a_library_the_reason_is_said(word_list, monkeypatch, caplog):
    def fails():
        raise build.BuildError("there is no C++ compiler; install g++")

    monkeypatch.setattr(build, "library", fails)
    with caplog.at_level(logging.INFO, "lit_makemore"):
        module, _ = chosen(word_list)
    assert module.engine == "autograd"
    assert "no native ones: there is no C++ compiler; install g++" in caplog.text
    with pytest.raises(ValueError, match=r"not possible: there is no C\+\+ compiler"):
        chosen(word_list, "native")


def test_a_wrong_step_is_said_and_the_run_has_the_bits_of_autograd(word_list, monkeypatch, caplog):
    right, _ = chosen(word_list, "autograd", steps=10)
    monkeypatch.setitem(referee.TOLERANCE, "tanh", -1.0)
    with caplog.at_level(logging.INFO, "lit_makemore"):
        found, _ = chosen(word_list, steps=10)
    assert "differs by" in caplog.text
    for name, tensor in right.net.state_dict().items():
        assert torch.equal(found.net.state_dict()[name], tensor), name


@pytest.mark.parametrize("change", ["freeze", "momentum"])
def test_what_a_callback_changes_on_the_way_is_not_ignored(word_list, change):
    class Changes(pl.Callback):
        def on_validation_end(self, trainer, pl_module):
            if change == "freeze":
                pl_module.net.embedding.weight.requires_grad_(False)
            else:
                trainer.optimizers[0].param_groups[0]["momentum"] = 0.9

    with pytest.raises(ValueError, match="a callback has changed .*; use --model.engine autograd"):
        chosen(word_list, steps=10, val_check_interval=5, callbacks=[Changes()])

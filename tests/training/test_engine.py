"""Which engine a run gets, and why. What edits do is in test_edits.py."""

import logging
import re
from copy import deepcopy
from operator import attrgetter

import lightning.pytorch as pl
import pytest
import torch

from lit_makemore.training.module import LitMLP
from lit_makemore.training.native import build, referee
from tests.fits import fit


class OneByOne(pl.Callback):
    def on_train_batch_end(self, *args) -> None:
        pass


def chosen(word_list, engine="auto", steps=2, optimizer="sgd", **arguments):
    """The module of a fit, and its Trainer."""
    found = fit(word_list, steps, model={"engine": engine, "optimizer": optimizer}, **arguments)
    return found.module, found.trainer


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
    monkeypatch.setitem(referee.TOLERANCE, "tensor", -1.0)
    with caplog.at_level(logging.INFO, "lit_makemore"):
        found, _ = chosen(word_list, steps=10)
    assert "differs by" in caplog.text
    for name, tensor in right.net.state_dict().items():
        assert torch.equal(found.net.state_dict()[name], tensor), name


def rate(trainer, module):
    trainer.optimizers[0].param_groups[0]["lr"] *= 0.5


def another_class(trainer, module):
    module.__class__ = type("Tenth", (LitMLP,), {"loss": lambda self, b: LitMLP.loss(self, b) / 10})


def own(path):
    """Puts a method of the object itself in place of that of its class."""
    name = path.rpartition(".")[2]

    def change(trainer, module):
        owner = attrgetter(path.rpartition(".")[0])(module) if "." in path else module
        setattr(owner, name, getattr(owner, name))

    return change


def moved(path):
    """Puts a copy in place of a tensor's memory."""

    def change(trainer, module):
        attrgetter(path)(module).data = attrgetter(path)(module).clone()

    return change


CHANGES = {
    "freeze": lambda trainer, module: module.net.embedding.weight.requires_grad_(False),
    "momentum": lambda trainer, _: trainer.optimizers[0].param_groups[0].update(momentum=0.9),
    "batch norm": lambda trainer, module: setattr(module.net.layers[1], "momentum", 0.01),
    "accumulate": lambda trainer, _: setattr(trainer, "accumulate_grad_batches", 2),
    "hook": lambda _, module: module.net.layers[0].register_forward_hook(lambda *args: None),
    "rate": rate,
    "step hook": lambda trainer, _: trainer.optimizers[0].register_step_pre_hook(lambda *_: None),
    "own step": lambda trainer, _: own("step")(None, trainer.optimizers[0]),
    "parameter hook": lambda _, module: module.net.embedding.weight.register_hook(lambda g: None),
    "own training step": own("training_step"),
    "own forward": own("net.forward"),
    "another callback": lambda trainer, _: trainer.callbacks.append(OneByOne()),
    "another class": another_class,
    "another layer": lambda _, module: module.net.layers.__setitem__(2, torch.nn.ReLU()),
    "bound": lambda _, module: setattr(module.net.embedding, "max_norm", 0.5),
}
LATE = {
    "other state": lambda trainer, _: trainer.optimizers[0].load_state_dict(
        deepcopy(trainer.optimizers[0].state_dict())
    ),
    "other buffer": moved("net.layers.1.running_mean"),
    "another tensor": moved("net.embedding.weight"),
}


def changing(change, when="on_train_epoch_start"):
    """A callback that makes the change once, after five updates or, if that is before, at first."""

    def once(self, trainer, module):
        if not hasattr(self, "at") and (change not in LATE.values() or trainer.global_step):
            self.at = trainer.global_step
            change(trainer, module)

    return type("Changes", (pl.Callback,), {when: once})()


@pytest.mark.parametrize("when", ["on_train_epoch_start", "on_validation_end"])
@pytest.mark.parametrize("change", [*CHANGES, *LATE])
def test_what_a_callback_changes_is_what_trains_from_there_on(word_list, change, when, caplog):
    networks = []
    for engine in ("autograd", "auto"):
        optimizer = "adamw" if change == "other state" else "sgd"
        model = {"engine": engine, "optimizer": optimizer, "lr_milestones": (7,)}
        with caplog.at_level(logging.INFO, "lit_makemore"):
            changes = changing({**CHANGES, **LATE}[change], when)
            found = fit(word_list, 10, changes, model=model, val_check_interval=5)
        assert (found.module.engine, found.trainer.global_step) == ("autograd", 10)
        networks.append(found.module.net.state_dict())
    first = 6 if when == "on_validation_end" else r"\d+" if change in LATE else 1
    assert re.search(rf"one by one, from update {first} on \(no native ones:", caplog.text)
    for name, tensor in networks[0].items():
        torch.testing.assert_close(tensor, networks[1][name], rtol=1e-3, atol=1e-4, msg=name)


def test_the_native_engine_refuses_what_a_callback_changes(word_list):
    with pytest.raises(ValueError, match="native is not possible: a parameter is frozen"):
        chosen(word_list, "native", steps=10, callbacks=[changing(CHANGES["freeze"])])


def test_a_callback_may_take_over_the_updates(word_list):
    """Manual optimization makes none here; the native step must not go on."""
    by_hand = changing(lambda _, module: setattr(module, "automatic_optimization", False))
    assert chosen(word_list, steps=4, callbacks=[by_hand], max_epochs=1)[0].engine == "autograd"


@pytest.mark.parametrize("when", ["on_train_start", "on_train_batch_start", "on_validation_end"])
def test_a_rate_that_a_callback_sets_is_left_alone(word_list, when):
    def zero(self, trainer, *args):
        trainer.optimizers[0].param_groups[0]["lr"] = 0.0
        self.weight = trainer.lightning_module.net.embedding.weight.clone()

    sets = type("Sets", (pl.Callback,), {when: zero})()
    module, runner = chosen(word_list, "autograd", steps=10, callbacks=[sets], val_check_interval=5)
    assert runner.optimizers[0].param_groups[0]["lr"] == 0.0
    assert torch.equal(sets.weight, module.net.embedding.weight)


@pytest.mark.parametrize("end", [{"max_steps": 0}, {"max_epochs": 0}])
def test_a_fit_without_an_update_is_no_error(word_list, end):
    module, _ = chosen(word_list, **{"val_check_interval": 5, **end})
    assert module.engine == "autograd"

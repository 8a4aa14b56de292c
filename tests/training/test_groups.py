"""Fits in groups do what fits with single steps do, when they do it."""

from operator import attrgetter

import lightning.pytorch as pl
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lightning.pytorch.callbacks import (
    EarlyStopping,
    LearningRateMonitor,
    ModelCheckpoint,
    Timer,
    TQDMProgressBar,
)

from lit_makemore.runs.exact_resume import ExactResume
from lit_makemore.training import groups
from lit_makemore.training.curves import TrainingCurves
from lit_makemore.training.datamodule import NamesDataModule
from lit_makemore.training.groups import AtUpdates, needs_every_update
from lit_makemore.training.module import LitMLP
from tests.training.test_module import trainer


class Record(AtUpdates):
    """Every hook with the step it is called at; losses of single updates where groups are that."""

    def __init__(self) -> None:
        self.validated, self.ends, self.losses = [], [], []

    def due(self, step: int) -> float:
        return float("inf")

    def on_validation_end(self, trainer, pl_module) -> None:
        self.validated.append(trainer.global_step)

    def on_train_epoch_end(self, trainer, pl_module) -> None:
        self.ends.append(trainer.global_step)

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx) -> None:
        self.losses.append(float(outputs["loss"]))


def fit(word_list, folder, steps, engine, every=150, model_arguments=None, **trainer_arguments):
    torch.manual_seed(1)
    data = NamesDataModule(str(word_list), batch_size=16)
    arguments = {"n_hidden": 8, "n_layer": 1, "lr_milestones": (30,), **(model_arguments or {})}
    model = LitMLP(data.chars, data.block_size, engine=engine, **arguments)
    record = Record()
    folder.mkdir()
    saver = ModelCheckpoint(folder, "{step}", every_n_train_steps=every, save_top_k=-1)
    runner = trainer(
        steps,
        **{
            "callbacks": [record, saver],
            "enable_checkpointing": True,
            "num_sanity_val_steps": 0,
            **trainer_arguments,
        },
    )
    runner.fit(model, data)
    assert model.engine == engine
    return runner, model, data, record, sorted(path.name for path in folder.iterdir())


@pytest.fixture
def pair(word_list, tmp_path, monkeypatch):
    """Fits by single steps and by native groups; compares everything that has a step."""
    monkeypatch.setattr(groups, "LARGEST", 40)

    def run(steps, **arguments):
        alone = fit(word_list, tmp_path / "alone", steps, "autograd", **arguments)
        together = fit(word_list, tmp_path / "together", steps, "native", **arguments)
        assert together[4] == alone[4]
        for name in ("validated", "ends"):
            assert getattr(together[3], name) == getattr(alone[3], name), name
        for of in ("global_step", "current_epoch", "fit_loop.total_batch_idx"):
            assert attrgetter(of)(together[0]) == attrgetter(of)(alone[0]), of
        for p, q in zip(alone[1].parameters(), together[1].parameters(), strict=True):
            torch.testing.assert_close(p, q, rtol=1e-3, atol=1e-4)
        generators = alone[2].generator.get_state(), together[2].generator.get_state()
        assert torch.equal(*generators)
        return alone, together

    return run


def test_groups_end_where_something_is_due(pair):
    alone, together = pair(
        450, every=150, val_check_interval=70, log_every_n_steps=32, limit_val_batches=1
    )
    record = together[3]
    assert record.validated == [70, 140, 210, 280, 350, 420]
    assert together[4] == ["step=150.ckpt", "step=300.ckpt", "step=450.ckpt"]
    assert len(record.losses) < 450 / 5  # and they are groups


def test_losses_of_single_updates_are_the_same(pair):
    alone, together = pair(60, log_every_n_steps=1)
    assert together[3].losses == pytest.approx(alone[3].losses, abs=1e-5)


def test_passes_and_their_limits_end_groups(pair):
    alone, _ = pair(-1, max_epochs=3, check_val_every_n_epoch=1, val_check_interval=1.0)
    assert len(alone[3].ends) == 3


def test_a_limited_number_of_minibatches_a_pass_is_kept(pair):
    alone, _ = pair(25, limit_train_batches=5)
    assert alone[3].ends == [5, 10, 15, 20, 25]


def test_the_same_minibatches_may_be_overfitted(pair):
    pair(24, overfit_batches=4)


def test_adamw_clipping_and_one_cycle_are_the_same_both_ways(pair):
    arguments = {"optimizer": "adamw", "lr": 0.01, "weight_decay": 0.1, "schedule": "one_cycle"}
    pair(60, model_arguments=arguments, gradient_clip_val=0.3)


def test_afterwards_the_loader_gives_single_minibatches(word_list, tmp_path):
    _, _, data, _, _ = fit(word_list, tmp_path / "run", 30, "native")
    for _ in range(2):
        shapes = [x.shape for x, _ in data.train_dataloader()]
        assert shapes
        assert set(shapes) == {(16, 3)}


HOOKED = [pl.Callback, ModelCheckpoint, Timer, TQDMProgressBar, EarlyStopping, TrainingCurves]


def made(base: type, hooks: list[str], calls: list[str]) -> pl.Callback:
    """A user's subclass that counts how often its hooks are called."""

    def counting(hook):
        def called(self, *args, **kwargs):
            calls.append(hook)
            return getattr(base, hook)(self, *args, **kwargs)

        return called

    arguments = {Timer: ["00:01:00:00"], EarlyStopping: ["val/loss"]}.get(base, [])
    return type("Mine", (base,), {hook: counting(hook) for hook in hooks})(*arguments)


@given(st.sampled_from(HOOKED), st.sets(st.sampled_from(groups.HOOKS), min_size=1))
@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_a_callback_of_the_users_sees_every_update(word_list, tmp_path, base, hooks):
    calls: list[str] = []
    callback = made(base, sorted(hooks), calls)
    assert needs_every_update(callback)
    bars = {"enable_progress_bar": base is TQDMProgressBar}
    saves = {"enable_checkpointing": True} if base is ModelCheckpoint else {}
    data = NamesDataModule(str(word_list), batch_size=16)
    module = LitMLP(data.chars, 3, n_hidden=4, n_layer=1)
    options = {"limit_val_batches": 0} if base is not EarlyStopping else {}
    runner = trainer(9, callbacks=[callback], default_root_dir=tmp_path, **bars, **saves, **options)
    runner.fit(module, data)
    assert module.engine == "autograd"
    assert {hook: calls.count(hook) for hook in hooks} == dict.fromkeys(hooks, 9)


@pytest.mark.parametrize(
    "callback", [LearningRateMonitor(), ModelCheckpoint("x", train_time_interval=None)]
)
def test_only_callbacks_that_lose_nothing_let_groups_pass(callback):
    assert needs_every_update(callback) is isinstance(callback, LearningRateMonitor)


@pytest.mark.parametrize("first", ["autograd", "native"])
@pytest.mark.parametrize("at", [7, 12])  # inside a pass of 6 minibatches, and at its end
def test_a_run_goes_on_the_other_way(word_list, tmp_path, first, at):
    second = {"autograd": "native", "native": "autograd"}[first]

    def run(engine, steps, ckpt_path=None):
        torch.manual_seed(1)
        data = NamesDataModule(str(word_list), batch_size=16, sampling="shuffled")
        module = LitMLP(data.chars, 3, n_hidden=8, n_layer=1, engine=engine)
        runner = trainer(steps, callbacks=[ExactResume()], limit_train_batches=6)
        runner.fit(module, data, ckpt_path=ckpt_path, weights_only=True)
        assert (module.engine, runner.global_step) == (engine, steps)
        return runner, module

    runner, _ = run(first, at)
    runner.save_checkpoint(tmp_path / "half.ckpt")
    _, resumed = run(second, 20, str(tmp_path / "half.ckpt"))
    _, whole = run(second, 20)
    for p, q in zip(whole.parameters(), resumed.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=1e-3, atol=1e-4)

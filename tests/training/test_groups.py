"""Fits in groups do what fits with single steps do, when they do it."""

from datetime import timedelta
from operator import attrgetter

import lightning.pytorch as pl
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lightning.pytorch.callbacks import EarlyStopping, LearningRateMonitor, ModelCheckpoint
from lightning.pytorch.callbacks.progress import TQDMProgressBar
from lightning.pytorch.callbacks.timer import Timer

from lit_makemore.runs.exact_resume import ExactResume
from lit_makemore.training import groups
from lit_makemore.training.curves import TrainingCurves
from lit_makemore.training.groups import AtUpdates, needs_every_update
from tests.fits import fit


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


def followed(word_list, folder, steps, engine, every=150, model=None, **trainer_arguments):
    """A fit, its record, and the names of its checkpoints."""
    record = Record()
    saver = ModelCheckpoint(folder, "{step}", every_n_train_steps=every, save_top_k=-1)
    model = {"lr_milestones": (30,), "engine": engine, **(model or {})}
    more = {"enable_checkpointing": True, **trainer_arguments}
    found = fit(word_list, steps, record, saver, model=model, **more)
    assert found.module.engine == engine
    return found, record, sorted(path.name for path in folder.glob("*"))


@pytest.fixture
def pair(word_list, tmp_path, monkeypatch):
    """Fits by single steps and by native groups; compares everything that has a step."""
    monkeypatch.setattr(groups, "LARGEST", 40)

    def run(steps, **arguments):
        (alone, ours, saved), (together, theirs, also_saved) = (
            followed(word_list, tmp_path / engine, steps, engine, **arguments)
            for engine in ("autograd", "native")
        )
        assert saved == also_saved
        assert (ours.validated, ours.ends) == (theirs.validated, theirs.ends)
        for of in ("global_step", "current_epoch", "fit_loop.total_batch_idx"):
            assert attrgetter(of)(together.trainer) == attrgetter(of)(alone.trainer), of
        for p, q in zip(alone.module.parameters(), together.module.parameters(), strict=True):
            torch.testing.assert_close(p, q, rtol=1e-3, atol=1e-4)
        generators = alone.data.generator, together.data.generator
        assert torch.equal(*(generator.get_state() for generator in generators))
        return ours, theirs, saved

    return run


def test_groups_end_where_something_is_due(pair):
    often = {"val_check_interval": 70, "log_every_n_steps": 32, "limit_val_batches": 1}
    _, record, saved = pair(450, every=150, **often)
    assert record.validated == [70, 140, 210, 280, 350, 420]
    assert saved == ["step=150.ckpt", "step=300.ckpt", "step=450.ckpt"]
    assert len(record.losses) < 450 / 5  # and they are groups


def test_losses_of_single_updates_are_the_same(pair):
    alone, together, _ = pair(60, log_every_n_steps=1)
    assert together.losses == pytest.approx(alone.losses, abs=1e-5)


ONE_CYCLE = {"optimizer": "adamw", "lr": 0.01, "weight_decay": 0.1, "schedule": "one_cycle"}


@pytest.mark.parametrize(
    ("steps", "arguments", "passes"),
    [
        (-1, {"max_epochs": 3, "check_val_every_n_epoch": 1, "val_check_interval": 1.0}, 3),
        (25, {"limit_train_batches": 5}, 5),
        (24, {"overfit_batches": 4}, 6),
        (60, {"model": ONE_CYCLE, "gradient_clip_val": 0.3}, 8),
    ],
)
def test_passes_and_their_limits_end_groups(pair, steps, arguments, passes):
    alone, _, _ = pair(steps, **arguments)
    assert len(alone.ends) == passes


def test_afterwards_the_loader_gives_single_minibatches(word_list):
    data = fit(word_list, 30, model={"engine": "native"}).data
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
    arguments = {"enable_progress_bar": base is TQDMProgressBar, "default_root_dir": tmp_path}
    arguments |= {"enable_checkpointing": True} if base is ModelCheckpoint else {}
    arguments |= {"limit_val_batches": 0} if base is not EarlyStopping else {}
    found = fit(word_list, 9, callback, model={"n_hidden": 4}, **arguments)
    assert found.module.engine == "autograd"
    assert {hook: calls.count(hook) for hook in hooks} == dict.fromkeys(hooks, 9)


def test_a_hook_that_was_replaced_in_the_object_sees_every_update(word_list):
    timer, calls = Timer("00:01:00:00"), []
    timer.on_train_batch_end = lambda *args: calls.append(1)
    assert fit(word_list, 9, timer).module.engine == "autograd"
    assert len(calls) == 9


def test_only_callbacks_that_lose_nothing_let_groups_pass():
    assert needs_every_update(LearningRateMonitor())
    assert not needs_every_update(ModelCheckpoint("x"))
    assert needs_every_update(ModelCheckpoint("x", train_time_interval=timedelta(seconds=1)))


@pytest.mark.parametrize("first", ["autograd", "native"])
@pytest.mark.parametrize("at", [7, 12])  # inside a pass of 6 minibatches, and at its end
def test_a_run_goes_on_the_other_way(word_list, tmp_path, first, at):
    second = {"autograd": "native", "native": "autograd"}[first]

    def run(engine, steps, ckpt_path=None):
        arguments = {"data": {"sampling": "shuffled"}, "limit_train_batches": 6}
        arguments |= {"model": {"engine": engine}, "ckpt_path": ckpt_path}
        module, _, runner = fit(word_list, steps, ExactResume(), **arguments)
        assert (module.engine, runner.global_step) == (engine, steps)
        return runner, module

    runner, _ = run(first, at)
    runner.save_checkpoint(tmp_path / "half.ckpt")
    _, resumed = run(second, 20, str(tmp_path / "half.ckpt"))
    _, whole = run(second, 20)
    for p, q in zip(whole.parameters(), resumed.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=1e-3, atol=1e-4)

"""Fits in groups do what fits with single steps do, when they do it."""

from operator import attrgetter

import lightning.pytorch as pl
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint

from lit_makemore.training import groups
from lit_makemore.training.datamodule import NamesDataModule
from lit_makemore.training.module import LitMLP
from tests.training.test_eager import OneByOne
from tests.training.test_module import trainer

pytestmark = pytest.mark.filterwarnings("ignore:Using ModelCheckpoint with manual optimization")


class Record(pl.Callback):
    """Every hook with the step it is called at; losses of single updates where groups are that."""

    takes_groups = True

    def __init__(self) -> None:
        self.validated, self.ends, self.losses = [], [], []

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
    alone = [OneByOne()] if engine == "eager" else []
    runner = trainer(
        steps,
        **{
            "callbacks": [record, saver, *alone],
            "enable_checkpointing": True,
            "num_sanity_val_steps": 0,
            **trainer_arguments,
        },
    )
    runner.fit(model, data)
    assert (model.engine, model.automatic_optimization) == (engine, engine == "eager")
    return runner, model, data, record, sorted(path.name for path in folder.iterdir())


@pytest.fixture
def pair(word_list, tmp_path, monkeypatch):
    """Fits by single eager steps and by native groups; compares everything that has a step."""
    monkeypatch.setattr(groups, "LARGEST", 40)

    def run(steps, **arguments):
        alone = fit(word_list, tmp_path / "alone", steps, "eager", **arguments)
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

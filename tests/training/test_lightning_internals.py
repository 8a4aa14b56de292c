"""Each function fails here when Lightning renames what it reaches for."""

import signal

import lightning.pytorch as pl
import pytest
from lightning.pytorch.callbacks import ModelCheckpoint

from lit_makemore.training.datamodule import NamesDataModule
from lit_makemore.training.lightning_internals import (
    count_updates,
    detects_anomaly,
    leave_signals_alone,
    save_interval,
    validate_now,
    validation_follows,
)
from lit_makemore.training.module import LitMLP
from tests.training.test_module import trainer


def fit(word_list, callback, **arguments):
    data = NamesDataModule(str(word_list), batch_size=16)
    model = LitMLP(data.chars, 3, n_hidden=8, n_layer=1, engine="eager")
    runner = trainer(7, callbacks=[callback], **arguments)
    runner.fit(model, data)
    return runner


def test_a_validation_follows_exactly_where_one_comes(word_list):
    class Watch(pl.Callback):
        said, came = [], []

        def on_train_batch_end(self, trainer, *args):
            if validation_follows(trainer):
                self.said.append(trainer.global_step)

        def on_validation_end(self, trainer, pl_module):
            self.came.append(trainer.global_step)

    fit(word_list, Watch(), val_check_interval=3)
    assert Watch.said == Watch.came == [3, 6]


def test_a_validation_can_be_run_inside_a_fit(word_list):
    class Twice(pl.Callback):
        came = []

        def on_validation_end(self, trainer, pl_module):
            self.came.append(trainer.global_step)

        def on_train_end(self, trainer, pl_module):
            validate_now(trainer)
            assert trainer.training

    runner = fit(word_list, Twice(), val_check_interval=3)
    assert Twice.came == [3, 6, 7]
    assert float(runner.callback_metrics["val/loss"]) > 0


def test_a_group_counts_as_its_updates(word_list):
    """Manual optimization without an update of its own: only count_updates moves the counters."""

    class Group(LitMLP):
        def setup(self, stage):
            super().setup(stage)
            self.automatic_optimization = False

        def training_step(self, batch, batch_idx):
            count_updates(self.trainer, 2)

    data = NamesDataModule(str(word_list), batch_size=16)
    runner = trainer(6, limit_val_batches=0, val_check_interval=6)
    runner.fit(Group(data.chars, 3, n_hidden=8, n_layer=1), data)
    assert runner.global_step == 6
    progress = runner.fit_loop.epoch_loop.batch_progress.total
    assert (progress.ready, progress.completed) == (6, 6)
    state = runner.fit_loop.state_dict()["epoch_loop.state_dict"]
    assert state["_batches_that_stepped"] == 6


@pytest.mark.parametrize("on", [True, False])
def test_anomaly_detection_is_seen(on):
    assert detects_anomaly(trainer(1, detect_anomaly=on)) is on


def test_the_interval_of_a_checkpoint_callback_is_seen():
    assert save_interval(ModelCheckpoint(every_n_train_steps=7)) == 7
    assert save_interval(ModelCheckpoint(every_n_epochs=1)) == 0
    assert save_interval(pl.Callback()) == 0


@pytest.mark.parametrize("left", [True, False])
def test_a_trainer_may_leave_signals_alone(word_list, left):
    """Without it a handler of Lightning's is there: then the function has something to do."""

    class Watch(pl.Callback):
        def setup(self, trainer, pl_module, stage):
            if left:
                leave_signals_alone(trainer)

        def on_train_start(self, trainer, pl_module):
            self.during = signal.getsignal(signal.SIGTERM)

    before, watch = signal.getsignal(signal.SIGTERM), Watch()
    fit(word_list, watch)
    assert (watch.during == before) == left
    assert signal.getsignal(signal.SIGTERM) == before

"""Each function fails here when Lightning renames what it reaches for."""

import atexit
import inspect
import signal
from datetime import timedelta

import lightning.pytorch as pl
import pytest
import torch
from lightning.fabric.utilities import distributed
from lightning.pytorch.callbacks import ModelCheckpoint

from lit_makemore.training.lightning_internals import (
    count_updates,
    detects_anomaly,
    is_compiled,
    leave_signals_alone,
    replace_updates,
    save_interval,
    validate_now,
    validation_follows,
    wait_for_nobody_at_exit,
)
from lit_makemore.training.module import LitMLP
from tests import fits


def fit(word_list, callback, **arguments):
    return fits.fit(word_list, 7, callback, model={"engine": "autograd"}, **arguments).trainer


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


def test_updates_can_be_made_elsewhere_and_count(word_list):
    """Nothing else moves the counters; afterwards Lightning makes its own again."""

    class Twos(pl.Callback):
        def on_train_start(self, trainer, pl_module):
            def run(batch):
                count_updates(trainer, 2)
                return {"loss": torch.tensor(1.0)}

            self.undo = replace_updates(trainer, run)

        def on_train_end(self, trainer, pl_module):
            self.undo()
            assert "run" not in vars(trainer.fit_loop.epoch_loop.automatic_optimization)

    runner = fit(word_list, Twos(), max_steps=6, limit_val_batches=0)
    assert runner.global_step == 6
    progress = runner.fit_loop.epoch_loop.batch_progress.total
    assert (progress.ready, progress.completed) == (6, 6)
    state = runner.fit_loop.state_dict()
    assert state["epoch_loop.state_dict"]["_batches_that_stepped"] == 6
    step = state["epoch_loop.automatic_optimization.optim_progress"]["optimizer"]["step"]
    assert step["total"] == {"ready": 6, "completed": 6}


@pytest.mark.filterwarnings("ignore:`torch.jit")
def test_what_a_module_a_trainer_and_a_callback_do_is_seen():
    module = LitMLP("abc", 3, n_hidden=4, n_layer=1)
    assert not is_compiled(module)
    assert is_compiled(pl.utilities.compile.from_compiled(torch.compile(module)))
    assert [detects_anomaly(fits.trainer(1, detect_anomaly=on)) for on in (False, True)] == [0, 1]
    assert save_interval(ModelCheckpoint(every_n_train_steps=7)) == 7
    assert save_interval(ModelCheckpoint(every_n_epochs=1)) == save_interval(pl.Callback()) == 0
    assert save_interval(ModelCheckpoint(train_time_interval=timedelta(seconds=1))) == 1


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


def test_a_process_that_failed_does_not_wait_as_it_ends(monkeypatch):
    """The hook is Lightning's, where processes are connected by NCCL."""
    taken_out = []
    monkeypatch.setattr(atexit, "unregister", taken_out.append)
    wait_for_nobody_at_exit()
    assert taken_out == [distributed._destroy_dist_connection]
    assert "atexit.register(_destroy_dist_connection)" in inspect.getsource(distributed)

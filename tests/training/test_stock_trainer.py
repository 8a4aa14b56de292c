"""LitMLP and NamesDataModule in a script of one's own, with Lightning's Trainer as it comes."""

import copy
import csv
import inspect
import io
import pickle

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import BatchSizeFinder, EMAWeightAveraging, TQDMProgressBar
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.tuner import Tuner
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import DataLoader, TensorDataset

from lit_makemore.model import load
from lit_makemore.training.datamodule import NamesDataModule
from lit_makemore.training.module import LitMLP
from tests.conftest import WORDS

# said of every Trainer whose pass is shorter than its interval of logs
pytestmark = pytest.mark.filterwarnings("ignore:The number of training batches")


@pytest.fixture
def parts(word_list):
    data = NamesDataModule(str(word_list), batch_size=16)
    return LitMLP(data.chars, data.block_size, n_hidden=8, n_layer=1), data


def trainer(tmp_path, **options) -> pl.Trainer:
    usual = {"max_steps": 24, "accelerator": "cpu", "log_every_n_steps": 5}
    return pl.Trainer(**{**usual, "default_root_dir": tmp_path, **options})


QUIET = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
NO_FILES = {"logger": False, "enable_checkpointing": False}


def test_fit_validate_and_test_give_their_figures(parts, tmp_path, capfd):
    bar = TQDMProgressBar()  # with the package rich, Lightning's needs a terminal
    one = trainer(tmp_path, logger=CSVLogger(tmp_path), callbacks=[bar])
    one.fit(*parts)
    assert {"train/loss", "val/loss"} <= one.callback_metrics.keys()
    assert "train/loss=" in capfd.readouterr().out  # in Lightning's bar
    reached = float(one.callback_metrics["val/loss"])
    (val,) = one.validate(*parts, verbose=False)
    assert val["val/loss"] == pytest.approx(reached)
    (test,) = one.test(*parts, verbose=False)
    assert {"test/loss", "test/loss_novel", "test/top1"} <= test.keys()
    (path,) = tmp_path.rglob("metrics.csv")
    rows = list(csv.DictReader(path.read_text().splitlines()))
    assert [row["step"] for row in rows if row["train/loss"]] == ["5", "10", "15", "20"]
    assert [row["step"] for row in rows if row["val/loss"]] == ["8", "16", "24", "24"]


def test_predict_scores_the_words_of_a_file(parts, tmp_path, word_list):
    model, data = parts
    data.predict_path = str(word_list)
    (scores,) = trainer(tmp_path, logger=False).predict(model, datamodule=data)
    assert [word for word, _ in scores] == WORDS
    assert all(log_p < 0 for _, log_p in scores)


def test_no_minibatches_are_no_training(parts, tmp_path):
    one = trainer(tmp_path, limit_train_batches=0, **NO_FILES)
    one.fit(*parts)
    assert one.global_step == 0


LOADERS = [f"{split}_dataloader" for split in ("train", "val", "test")]


@pytest.mark.parametrize("name", [*LOADERS, "baselines", "best_counts", "count_model"])
def test_loaders_and_counts_before_setup_say_what_is_missing(parts, name):
    with pytest.raises(ValueError, match="call setup first"):
        getattr(parts[1], name)()


def saved(module):
    file = io.BytesIO()
    torch.save(module, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


COPIES = {
    "deepcopy": copy.deepcopy,
    "pickle": lambda module: pickle.loads(pickle.dumps(module)),
    "torch.save": saved,
    "AveragedModel": lambda module: AveragedModel(module).module,
}


@pytest.mark.parametrize("bar", [True, False])
@pytest.mark.parametrize("way", COPIES)
def test_what_was_trained_natively_can_be_copied_and_trained_on(parts, tmp_path, way, bar):
    model, data = parts
    quiet = {**QUIET, "enable_progress_bar": bar}
    trainer(tmp_path, **quiet).fit(model, data)
    assert model.engine == "native"
    again, its_data = COPIES[way](model), copy.deepcopy(data)
    assert again.eval().generate(3, seed=1) == model.eval().generate(3, seed=1)
    for module, names in ((again, its_data), (model, data)):
        trainer(tmp_path, **quiet).fit(module.train(), names)
        assert module.engine == "native"
    for p, q in zip(model.parameters(), again.parameters(), strict=True):
        assert torch.equal(p, q)


def test_a_second_fit_may_average_its_weights(parts, tmp_path):
    trainer(tmp_path, **QUIET).fit(*parts)
    last = trainer(tmp_path, **QUIET, callbacks=[EMAWeightAveraging(decay=0.5)])
    last.fit(*parts)
    assert (parts[0].engine, last.global_step) == ("autograd", 24)


@pytest.mark.parametrize("calls", ["validate fit", "fit validate fit", "fit test fit test"])
def test_the_calls_of_a_trainer_come_in_any_order(parts, tmp_path, calls):
    for call in calls.split():
        one = trainer(tmp_path, **QUIET)
        getattr(one, call)(*parts)
        assert one.callback_metrics


@pytest.mark.parametrize("engine", ["auto", "autograd"])
def test_the_batch_size_that_is_found_is_what_trains(parts, tmp_path, engine):
    """Two trials, of 2 and 4 examples; a pass of the 129 examples has 32 minibatches then."""
    model, data = parts
    model.hparams["engine"] = engine
    finder = BatchSizeFinder(steps_per_trial=1, max_trials=2)
    one = trainer(tmp_path, max_steps=-1, max_epochs=1, callbacks=[finder], **QUIET)
    one.fit(model, data)
    assert (data.batch_size, one.global_step) == (4, 32)
    assert len(next(iter(data.train_dataloader()))[1]) == 4


@pytest.mark.parametrize("engine", ["auto", "autograd"])
def test_another_batch_size_for_the_next_pass(parts, tmp_path, engine):
    class Halves(pl.Callback):
        def on_train_epoch_end(self, trainer, pl_module):
            trainer.datamodule.batch_size = 8

    model, data = parts
    model.hparams["engine"] = engine
    options = {"callbacks": [Halves()], "reload_dataloaders_every_n_epochs": 1, **QUIET}
    one = trainer(tmp_path, max_steps=-1, max_epochs=2, **options)
    one.fit(model, data)
    assert (one.global_step, model.engine) == (8 + 16, "autograd")


def test_gradients_of_minibatches_that_do_not_divide_a_pass(parts, tmp_path):
    """The pass of 8 minibatches has 6 then, and a validation at its end."""
    one = trainer(tmp_path, accumulate_grad_batches=3, **NO_FILES)
    one.fit(*parts)
    assert one.current_epoch == 12
    assert "val/loss" in one.callback_metrics


def test_a_fit_without_an_optimizer_trains_nothing(parts, tmp_path):
    model, data = parts
    before = {name: p.clone() for name, p in model.named_parameters()}
    model.configure_optimizers = lambda: None
    with pytest.warns(UserWarning, match="no optimizer"):
        trainer(tmp_path, **NO_FILES).fit(model, data)
    for name, p in model.named_parameters():
        assert torch.equal(p, before[name])


def test_after_a_fit_that_ends_inside_a_pass_the_loader_has_whole_passes(parts, tmp_path):
    model, data = parts
    path = tmp_path / "x.ckpt"
    for steps, ckpt_path in ((20, None), (28, path)):  # of 8 a pass
        one = trainer(tmp_path, max_steps=steps, **QUIET)
        one.fit(model, data, ckpt_path=ckpt_path, weights_only=True if ckpt_path else None)
        one.save_checkpoint(path)
        assert [sum(1 for _ in data.train_dataloader()) for _ in range(2)] == [8, 8]


WRONG = {  # LitMLP's and NamesDataModule's arguments; a command line has a parser for them
    "optimizer": "adam", "schedule": "cosine", "engine": "fast", "activation": 3,
    "n_hidden": 8.0, "n_layer": "2", "lr": None, "dropout": "0.1", "logits_batch_norm": "no",
    "sampling": "shuffle", "targets": "soft", "batch_size": True, "seed": None, "lowercase": 1,
    "path": None, "block_size": "3",
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_an_argument_of_another_type_is_named(word_list, name):
    kind, usual = LitMLP, {"chars": "ab", "block_size": 3}
    if name in inspect.signature(NamesDataModule).parameters:
        kind, usual = NamesDataModule, {"path": word_list}
    with pytest.raises(ValueError, match=rf"--(model|data)\.{name} must be .*, not"):
        kind(**{**usual, name: WRONG[name]})


def test_numbers_of_numpy_are_numbers(word_list, tmp_path):
    data = NamesDataModule(str(word_list), batch_size=np.int64(16), seed=np.int64(3))
    model = LitMLP(data.chars, 3, n_hidden=np.int64(8), n_layer=1, lr=np.float64(0.1))
    one = trainer(tmp_path, **NO_FILES)
    one.fit(model, data)
    one.save_checkpoint(tmp_path / "x.ckpt")
    assert load(tmp_path / "x.ckpt").generate(3, seed=1) == model.generate(3, seed=1)


@pytest.mark.parametrize(
    ("option", "value", "says"),
    [
        ("optimizer", "adam", "--model.optimizer must be sgd or adamw, not 'adam'"),
        ("dropout", 0.5, "the network has its dropout; make another LitMLP instead"),
        ("n_hidden", 9, "the network has its n_hidden; make another LitMLP instead"),
    ],
)
def test_options_that_were_changed_too_late_are_not_ignored(parts, tmp_path, option, value, says):
    model, data = parts
    model.hparams[option] = value
    with pytest.raises(ValueError, match=says):
        trainer(tmp_path, **NO_FILES).fit(model, data)


def test_examples_of_a_loader_of_ones_own_are_evaluated(parts, tmp_path):
    model, data = parts
    data.setup()
    windows = data.splits["val"].windows
    loader = DataLoader(TensorDataset(*windows[torch.arange(len(windows))]), 4)
    one = trainer(tmp_path, **NO_FILES)
    (own,), (ours,) = (one.validate(model, of, verbose=False) for of in (loader, data))
    assert own["val/loss"] == pytest.approx(ours["val/loss"])


@pytest.mark.parametrize("engine", ["auto", "autograd"])
@pytest.mark.parametrize("call", ["fit", "validate", "test"])
@pytest.mark.parametrize(
    ("chars", "block_size", "says"),
    [
        ("abc", 3, "other characters than the word list; make it with data.chars"),
        ("abcdefghijklmnopqrstuvwxyz", 3, "other characters than the word list"),
        (None, 4, "the network sees 4 characters, --data.block_size is 3"),
        (None, 2, "the network sees 2 characters, --data.block_size is 3"),
    ],
)
def test_a_network_for_other_words_is_refused(
    parts, tmp_path, chars, block_size, says, call, engine
):
    data = parts[1]
    model = LitMLP(chars or data.chars, block_size, n_hidden=8, n_layer=1, engine=engine)
    one = trainer(tmp_path, **NO_FILES)
    with pytest.raises(ValueError, match=says):
        getattr(one, call)(model, data)


@pytest.mark.parametrize("engine", ["auto", "autograd"])
@pytest.mark.parametrize("kinds", [("sgd", "adamw"), ("adamw", "sgd")])
def test_a_checkpoint_does_not_go_on_with_another_optimizer(parts, tmp_path, engine, kinds):
    data, ckpt_path = parts[1], tmp_path / "x.ckpt"
    usual = {"n_hidden": 8, "n_layer": 1, "engine": engine}
    first, second = (LitMLP(data.chars, 3, optimizer=kind, **usual) for kind in kinds)
    one = trainer(tmp_path, **NO_FILES)
    one.fit(first, data)
    one.save_checkpoint(ckpt_path)
    two = trainer(tmp_path, max_steps=30, **NO_FILES)
    with pytest.raises(ValueError, match=f"optimizer is {kinds[0]}, not {kinds[1]}"):
        two.fit(second, data, ckpt_path=ckpt_path, weights_only=True)


@pytest.mark.filterwarnings("ignore")  # Lightning's advice
def test_the_rate_that_a_tuner_finds_is_the_rate_of_the_fit(parts, tmp_path):
    class Seen(pl.Callback):
        rates = set()

        def on_train_batch_end(self, trainer, *args):
            self.rates.add(trainer.optimizers[0].param_groups[0]["lr"])

    one = trainer(tmp_path, callbacks=[Seen()], **QUIET)
    found = Tuner(one).lr_find(parts[0], datamodule=parts[1], num_training=30).suggestion()
    Seen.rates.clear()
    one.fit(*parts)
    assert Seen.rates == {found} != {0.1}

"""All monitors together: they change nothing in the training, and they tell sick networks apart."""

import json
import subprocess
import sys

import lightning.pytorch as pl
import pytest
import torch

from lit_makemore.cli import main
from lit_makemore.diagnostics.health import Health
from lit_makemore.diagnostics.settings import Diagnostics, monitors
from lit_makemore.diagnostics.verdicts import Bands
from lit_makemore.training.datamodule import NamesDataModule
from lit_makemore.training.module import LitMLP
from tests.conftest import ROOT
from tests.training.test_module import trainer


class Losses(pl.Callback):
    takes_groups = True

    def __init__(self) -> None:
        self.total: list[float] = []

    def on_train_batch_end(self, trainer, pl_module, outputs, *args) -> None:
        self.total.append((trainer.global_step, float(outputs.get("sum", outputs["loss"]))))


def fit(word_list, options, model_arguments, trainer_arguments):
    torch.manual_seed(1)
    data = NamesDataModule(str(word_list), batch_size=16)
    model = LitMLP(data.chars, 3, n_hidden=8, n_layer=2, **model_arguments)
    losses = Losses()
    callbacks = [losses, *monitors(options)]
    runner = trainer(60, callbacks=callbacks, val_check_interval=20, **trainer_arguments)
    runner.fit(model, data)
    return model.state_dict(), torch.get_rng_state(), losses.total


@pytest.mark.parametrize("engine", ["eager", "native"])
@pytest.mark.parametrize(
    ("model_arguments", "trainer_arguments"),
    [
        ({}, {}),
        ({}, {"gradient_clip_val": 0.1}),
        ({"optimizer": "adamw", "lr": 0.01, "weight_decay": 0.1}, {}),
    ],
)
def test_on_and_off_are_bit_identical(word_list, engine, model_arguments, trainer_arguments):
    arguments = {**model_arguments, "engine": engine}
    off, random_off, losses_off = fit(
        word_list, Diagnostics(enabled=False), arguments, trainer_arguments
    )
    on, random_on, losses_on = fit(
        word_list, Diagnostics(every_n_steps=7), arguments, trainer_arguments
    )
    assert all(torch.equal(off[name], on[name]) for name in off)
    assert torch.equal(random_off, random_on)


def test_a_run_that_is_stopped_says_why_and_keeps_a_checkpoint(word_list, tmp_path, capsys):
    arguments = ["fit", "--data.path", str(word_list), "--data.batch_size", "16", "--name", "run"]
    arguments += ["--runs_dir", str(tmp_path), "--trainer.max_steps", "40", "--model.n_hidden", "8"]
    arguments += ["--model.init.logits_gain", "9", "--diagnostics.fail_on", "nan,initial_loss"]
    assert main(arguments) == 1
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("error: stopped by diagnostics.fail_on at update 1: initial_loss: loss")
    assert "logits_gain" in error
    assert (tmp_path / "run" / "checkpoints" / "last.ckpt").exists()


def test_a_nan_is_named_at_the_next_logging_interval(word_list, tmp_path, capsys, monkeypatch):
    lr_at = LitMLP.lr_at
    monkeypatch.setattr(LitMLP, "lr_at", lambda self, i: torch.nan if i == 23 else lr_at(self, i))
    arguments = ["fit", "--data.path", str(word_list), "--data.batch_size", "16", "--name", "run"]
    arguments += ["--runs_dir", str(tmp_path), "--trainer.max_steps", "200"]
    arguments += ["--trainer.log_every_n_steps", "10", "--diagnostics.fail_on", "nan"]
    assert main([*arguments, "--trainer.limit_val_batches", "0"]) == 1
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert (
        "the loss is nan at update 30; these are not finite either" in error
    )  # by then it has spread
    assert "parameter hidden1/linear/weight" in error


def test_fail_on_knows_the_checks(word_list, capsys):
    arguments = ["fit", "--data.path", str(word_list), "--diagnostics.fail_on", "nan,typo"]
    assert main([*arguments, "--trainer.max_steps", "5"]) == 1
    assert "has no check typo; the checks are nan, initial_loss" in capsys.readouterr().err


def test_bands_are_options():
    assert Diagnostics(bands=Bands(saturation=50)).bands.saturation == 50
    (health,) = [m for m in monitors(Diagnostics(fail_on="nan, dead")) if isinstance(m, Health)]
    assert health.fail_on == ("nan", "dead")


@pytest.mark.slow
def test_of_several_processes_one_writes(tmp_path):
    command = [sys.executable, "train.py", "fit", "--data.path", "data/names_small.txt"]
    command += ["--trainer.accelerator", "cpu", "--trainer.devices", "2", "--threads", "1"]
    command += ["--trainer.strategy", "ddp", "--trainer.max_steps", "120", "--name", "run"]
    command += ["--trainer.val_check_interval", "60", "--runs_dir", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=1800)
    assert len(list((tmp_path / "run").glob("events.*"))) == 1
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["health"]["nan"] == "ok"

"""Lightning's own callbacks and loggers, switched on from the command line."""

import csv
import json

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from lit_makemore.cli import main

CALLBACKS = "lightning.pytorch.callbacks"


@pytest.fixture
def fit(tmp_path, word_list, capsys):
    usual = f"--data.path {word_list} --data.batch_size 16 --model.n_hidden 8 --model.n_layer 1"
    usual += " --threads 1 --diagnostics.enabled false --trainer.accelerator cpu"
    usual += f" --trainer.max_steps 40 --trainer.val_check_interval 20 --runs_dir {tmp_path}"

    def run(*more: str, name: str = "run") -> tuple[int, str]:
        status = main(["fit", *usual.split(), "--name", name, *more])
        return status, capsys.readouterr().err

    return run


def summary(tmp_path, name="run"):
    return json.loads((tmp_path / name / "summary.json").read_text())


def test_train_loss_is_that_of_the_examples_where_gradients_are_added_up(fit, tmp_path):
    more = ["--trainer.accumulate_grad_batches", "4", "--trainer.log_every_n_steps", "1"]
    assert fit(*more)[0] == 0
    events = EventAccumulator(str(tmp_path / "run")).Reload()
    assert events.Scalars("train/loss")[0].value == pytest.approx(3.1, abs=0.15)  # ln 22 = 3.09
    assert [event.step for event in events.Scalars("val/loss")] == [20, 40]


@pytest.mark.filterwarnings("ignore")
def test_the_rate_that_the_finder_finds_is_used_recorded_and_kept(fit, tmp_path):
    more = [f"--trainer.callbacks+={CALLBACKS}.LearningRateFinder", "--model.optimizer", "adamw"]
    status, said = fit(*more)
    assert status == 0
    assert "one by one (LearningRateFinder)" in said
    found = summary(tmp_path)["lr"]
    assert 1e-5 < found < 1
    assert found != 0.1
    events = EventAccumulator(str(tmp_path / "run")).Reload()
    assert len(events.Scalars("lr_finder/loss")) > 10
    longer = ["--trainer.max_steps", "60", "--trainer.log_every_n_steps", "5", "--resume", "true"]
    assert fit(*more, *longer)[0] == 0
    assert summary(tmp_path)["lr"] == found
    rates = EventAccumulator(str(tmp_path / "run")).Reload().Scalars("train/lr")
    assert rates[-1].value == pytest.approx(found)


@pytest.mark.parametrize("name", ["BatchSizeFinder", "GradientAccumulationScheduler"])
def test_a_callback_that_would_change_the_run_is_one_line(fit, tmp_path, name):
    more = {
        "BatchSizeFinder": [],
        "GradientAccumulationScheduler": ["--trainer.callbacks.scheduling", "{0: 2}"],
    }[name]
    status, said = fit(f"--trainer.callbacks+={CALLBACKS}.{name}", *more)
    assert status == 1
    (line,) = said.strip().splitlines()
    assert f"{name} does not work here; " in line
    assert not (tmp_path / "run").exists()


def test_a_callback_of_every_minibatch_excludes_groups(fit):
    averaging = f"--trainer.callbacks+={CALLBACKS}.EMAWeightAveraging"
    status, said = fit(averaging, "--model.engine", "native")
    assert status == 1
    assert "--model.engine native is not possible: EMAWeightAveraging" in said
    assert fit(averaging)[0] == 0


def test_loggers_add_up(fit, tmp_path):
    more = ["--trainer.logger+=lightning.pytorch.loggers.CSVLogger"]
    more += [f"--trainer.logger.save_dir={tmp_path / 'csv'}", "--trainer.log_every_n_steps", "10"]
    assert fit(*more)[0] == 0
    assert list((tmp_path / "run").glob("events.out.*"))
    (path,) = (tmp_path / "csv").rglob("metrics.csv")
    rows = list(csv.DictReader(path.read_text().splitlines()))
    assert {"train/loss", "val/loss"} <= rows[0].keys()


def test_clipping_to_zero_means_no_limit_with_both_engines(fit, tmp_path):
    """Lightning's meaning; a step that multiplied by it would stand still."""
    losses = []
    for engine in ("native", "eager"):
        clip = ["--trainer.gradient_clip_val", "0", "--model.engine", engine]
        assert fit(*clip, name=engine)[0] == 0
        losses.append(summary(tmp_path, engine)["final"]["train_loss"])
    assert losses[0] == pytest.approx(losses[1], abs=1e-4)
    assert losses[0] < 2.9


def test_an_error_in_the_first_step_leaves_no_folder(fit, tmp_path, monkeypatch):
    def broken(*args):
        raise TypeError("not yet")

    monkeypatch.setattr("lit_makemore.training.module.LitMLP.training_step", broken)
    status, said = fit()
    assert status == 1
    assert "TypeError: not yet" in said
    assert not (tmp_path / "run").exists()

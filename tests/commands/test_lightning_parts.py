"""Lightning's own callbacks and loggers, switched on from the command line."""

import json
import re
import sys
from types import SimpleNamespace

import pytest
import yaml
from lightning.pytorch.accelerators import cpu
from lightning.pytorch.callbacks import device_stats_monitor
from lightning_utilities.core.imports import RequirementCache
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from lit_makemore import model as checkpoint
from lit_makemore.cli import main
from tests.benchmarks import lightning_parts

CALLBACKS = "lightning.pytorch.callbacks"
SHARES = ("virtual_memory", "swap_memory")


@pytest.fixture
def fit(tmp_path, word_list, capsys):
    usual = f"--data.path {word_list} --data.batch_size 16 --model.n_hidden 8 --model.n_layer 1"
    usual += " --threads 1 --diagnostics.enabled false --trainer.accelerator cpu"
    usual += f" --trainer.max_steps 40 --trainer.val_check_interval 20 --runs_dir {tmp_path}"

    def run(*more: str, name: str = "run") -> tuple[int, str]:
        status = main(["fit", *usual.split(), "--name", name, *more])
        captured = capsys.readouterr()
        run.out = captured.out
        return status, captured.err

    return run


def summary(tmp_path, name="run"):
    return json.loads((tmp_path / name / "summary.json").read_text())


@pytest.mark.slow
def test_train_loss_is_that_of_the_examples_where_gradients_are_added_up(fit, tmp_path):
    more = ["--trainer.accumulate_grad_batches", "4", "--trainer.log_every_n_steps", "1"]
    assert fit(*more)[0] == 0
    events = EventAccumulator(str(tmp_path / "run")).Reload()
    assert events.Scalars("1_losses/train")[0].value == pytest.approx(3.1, abs=0.15)  # ln 22 = 3.09
    assert [event.step for event in events.Scalars("1_losses/val")] == [20, 40]
    assert [event.step for event in events.Scalars("1_losses/train")] == [*range(1, 41)]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_the_rate_that_the_finder_finds_is_used_recorded_and_kept(fit, tmp_path):
    more = [f"--trainer.callbacks+={CALLBACKS}.LearningRateFinder", "--model.optimizer", "adamw"]
    more += ["--trainer.callbacks.num_training_steps", "20"]
    more += ["--diagnostics.enabled", "true"]  # which draw the curve of the trial
    status, said = fit(*more)
    assert status == 0
    assert "one by one" in said
    found = summary(tmp_path)["lr"]
    assert 1e-5 < found < 1
    assert found != 0.1
    events = EventAccumulator(str(tmp_path / "run")).Reload()
    assert len(events.Scalars("lr_finder/loss")) > 10
    longer = ["--trainer.max_steps", "60", "--trainer.log_every_n_steps", "5", "--resume", "true"]
    assert fit(*more, *longer)[0] == 0
    assert summary(tmp_path)["lr"] == found
    rates = EventAccumulator(str(tmp_path / "run")).Reload().Scalars("7_progress/lr")
    assert rates[-1].value == pytest.approx(found)


def test_the_page_has_every_callback_logger_and_flag():
    page = lightning_parts.PAGE.read_text(encoding="utf-8")
    missing = [name for name in lightning_parts.parts() if not re.search(rf"`{name}[` ]", page)]
    assert missing == []


@pytest.mark.parametrize("name", ["lightning.pytorch.loggers.CSVLogger", "TensorBoardLogger"])
def test_a_logger_without_a_place_writes_into_the_run_folder(fit, tmp_path, name):
    assert fit(f"--trainer.logger+={name}")[0] == 0
    theirs = tmp_path / "run" / "lightning_logs" / "version_0"
    assert any("metrics.csv" in file.name or "events" in file.name for file in theirs.iterdir())
    settings = yaml.safe_load((theirs / "hparams.yaml").read_text())
    assert settings["batch_size"] == 16
    again = ["--config", str(tmp_path / "run" / "config.yaml"), "--name", "again"]
    assert fit(*again)[0] == 0  # in its own folder
    assert (tmp_path / "again" / "lightning_logs" / "version_0").is_dir()
    assert len(list(theirs.parent.iterdir())) == 1


def test_checkpoints_of_the_user_lie_in_the_run_folder(fit, tmp_path):
    more = [f"--trainer.callbacks+={CALLBACKS}.ModelCheckpoint", "--trainer.callbacks.save_last"]
    for name in ("run", "other"):
        assert fit(*more, "true", "--trainer.logger", str(name == "run").lower(), name=name)[0] == 0
        found = {path.name for path in (tmp_path / name / "checkpoints").iterdir()}
        assert found == {"best.ckpt", "last.ckpt", "last-v1.ckpt", "epoch=4-step=40.ckpt"}


@pytest.mark.parametrize("how", ["link", "true"])
def test_a_checkpoint_of_the_user_keeps_its_state(fit, tmp_path, how):
    """Lightning's last.ckpt would be a link to it, through which ours would be written."""
    more = [f"--trainer.callbacks+={CALLBACKS}.ModelCheckpoint", "--trainer.callbacks.save_last"]
    more += [how, "--trainer.callbacks.filename=mine", "--trainer.callbacks.monitor=train/loss"]
    more += ["--trainer.callbacks.enable_version_counter=false", "--trainer.log_every_n_steps=5"]
    more += ["--trainer.callbacks.mode=max"]  # the loss of update 20 is larger than that of 30
    assert fit(*more, "--trainer.max_steps=30")[0] == 0
    folder = tmp_path / "run" / "checkpoints"
    steps = {path.stem: checkpoint.read(path)["global_step"] for path in folder.iterdir()}
    assert steps == {"best": 30, "last": 30, "last-v1": 20, "mine": 20}
    there = [f"--trainer.callbacks.dirpath={folder}", "--trainer.callbacks.filename=last"]
    status, said = fit(*more, *there, "--resume", "true", "--resume_override", "true")
    assert (status, "give the ModelCheckpoint another filename" in said) == (1, True)


def test_checkpoints_by_time_are_saved(fit, tmp_path):
    more = [f"--trainer.callbacks+={CALLBACKS}.ModelCheckpoint", "--trainer.max_steps=60"]
    more += ["--trainer.callbacks.train_time_interval=0:00:00.01"]
    assert fit(*more, "--trainer.callbacks.save_top_k=-1")[0] == 0
    assert len([*(tmp_path / "run" / "checkpoints").glob("epoch=*")]) > 1


def test_what_profilers_and_callbacks_write_lies_in_the_run_folder(fit, tmp_path):
    profiler = ["--trainer.profiler", "SimpleProfiler", "--trainer.profiler.filename", "profile"]
    assert fit(*profiler)[0] == 0
    assert (tmp_path / "run" / "fit-profile.txt").exists()
    spikes = [f"--trainer.callbacks+={CALLBACKS}.SpikeDetection", "--trainer.callbacks.atol=0.1"]
    status, said = fit(*spikes, "--model.lr", "30", name="spikes")
    assert status == 1
    assert "Training spike detected" in said
    assert (tmp_path / "spikes" / "skip_batches.json").exists()


def test_a_progress_bar_of_the_user_takes_the_place_of_ours(fit):
    often = ["--trainer.log_every_n_steps", "10"]
    status, said = fit(f"--trainer.callbacks+={CALLBACKS}.TQDMProgressBar", *often)
    assert status == 0
    assert "steps/s" not in said
    assert "train/loss=" in fit.out


def test_a_timer_stops_a_run(fit, tmp_path):
    timer = [f"--trainer.callbacks+={CALLBACKS}.Timer", "--trainer.callbacks.duration"]
    assert fit(*timer, "00:00:00:00")[0] == 0
    assert summary(tmp_path)["steps"] < 40
    assert fit(*timer, "{minutes: 1}", name="longer")[0] == 0
    assert summary(tmp_path, "longer")["steps"] == 40


def psutil(monkeypatch, found: object) -> None:
    """Lightning finds psutil, or not."""
    for module in (device_stats_monitor, cpu):
        monkeypatch.setattr(module, "_PSUTIL_AVAILABLE", found)
    share = SimpleNamespace(percent=50.0)
    stub = {"cpu_percent": lambda: 50.0} | dict.fromkeys(SHARES, lambda: share)
    monkeypatch.setitem(sys.modules, "psutil", SimpleNamespace(**stub))


def test_without_psutil_device_stats_are_one_line_that_names_it(fit, tmp_path, monkeypatch):
    psutil(monkeypatch, RequirementCache("no-such-package"))
    status, said = fit(f"--trainer.callbacks+={CALLBACKS}.DeviceStatsMonitor")
    assert status == 1
    assert said.splitlines()[-1].startswith("error: `DeviceStatsMonitor` cannot log CPU stats")
    assert "Try running `pip install" in said
    assert not (tmp_path / "run").exists()


def test_a_class_that_is_not_there_is_a_short_line(fit, tmp_path, capsys):
    with pytest.raises(SystemExit) as exit_:
        fit(f"--trainer.callbacks+={CALLBACKS}.NoSuch")
    assert exit_.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith('error: Parser key "trainer.callbacks": Problem with given class_path')
    assert "has no attribute 'NoSuch'" in line
    assert "Subtypes" not in line


def test_callbacks_of_a_fit_do_not_stop_its_evaluation(fit, tmp_path, capsys, monkeypatch):
    psutil(monkeypatch, True)
    names = ["TQDMProgressBar", "ModelCheckpoint", "DeviceStatsMonitor", "LearningRateMonitor"]
    callbacks = [f"--trainer.callbacks+={CALLBACKS}.{name}" for name in names]
    assert fit(*callbacks, "--trainer.log_every_n_steps", "10")[0] == 0
    folder = tmp_path / "run"
    tags = EventAccumulator(str(folder)).Reload().Tags()["scalars"]
    assert any(tag.startswith("DeviceStatsMonitor.") for tag in tags)
    given = ["--config", folder / "config.yaml", "--ckpt_path", folder / "checkpoints/best.ckpt"]
    for command in ("validate", "test"):
        assert main([command, *map(str, given)]) == 0
        assert "/loss" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("option", "remedy"),
    [
        ("--trainer.check_val_every_n_epoch=1", "--trainer.val_check_interval 1.0, not 20"),
        (f"--trainer.callbacks+={CALLBACKS}.BatchSizeFinder", "BatchSizeFinder does not work here"),
        (
            f"--trainer.callbacks+={CALLBACKS}.GradientAccumulationScheduler "
            '--trainer.callbacks.scheduling={"0":2}',
            "GradientAccumulationScheduler does not work here; ",
        ),
        (
            f"--trainer.callbacks+={CALLBACKS}.ModelCheckpoint --trainer.callbacks.filename best",
            "give the ModelCheckpoint another filename",
        ),
        (
            f"--trainer.callbacks+={CALLBACKS}.EMAWeightAveraging --model.engine native",
            "--model.engine native is not possible: EMAWeightAveraging",
        ),
        (
            f"--trainer.callbacks+={CALLBACKS}.Timer --trainer.callbacks.duration soon",
            "Expected a string in the format DD:HH:MM:SS",
        ),
        ("--trainer.barebones=true", "leave it out"),
        ("--trainer.model_registry=names", "lie in the run folder"),
        ("--trainer.plugins=TorchCheckpointIO", "writes its checkpoints itself"),
        (
            f"--trainer.callbacks+={CALLBACKS}.StochasticWeightAveraging "
            "--trainer.callbacks.swa_lrs 0.1",
            "EMAWeightAveraging",
        ),
        (
            f"--trainer.callbacks+={CALLBACKS}.EMAWeightAveraging "
            "--trainer.callbacks.update_starting_at_epoch=1",
            "use update_starting_at_step",
        ),
    ],
)
def test_what_does_not_work_is_a_line_with_a_remedy(fit, tmp_path, option, remedy):
    status, said = fit(*option.split())
    assert status == 1
    (line,) = said.splitlines()
    assert remedy in line
    assert not (tmp_path / "run").exists()


def test_validations_may_count_passes(fit, tmp_path):
    passes = ["--trainer.val_check_interval", "1.0", "--trainer.check_val_every_n_epoch", "2"]
    assert fit(*passes)[0] == 0
    events = EventAccumulator(str(tmp_path / "run")).Reload()
    assert [event.step for event in events.Scalars("1_losses/val")] == [16, 32, 40]


def test_clipping_to_zero_means_no_limit_with_both_engines(fit, tmp_path):
    """Lightning's meaning; a step that multiplied by it would stand still."""
    losses = []
    for engine in ("native", "autograd"):
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

"""Whole runs on a pretended GPU: with everything switched on, and with faults put into them."""

import inspect
import json
import re
import textwrap

import pytest
import torch
import yaml

from lit_makemore.cli import main
from lit_makemore.commands import inner_runs
from lit_makemore.counts import targets
from lit_makemore.counts.mixture import Mixture
from lit_makemore.counts.targets import Expected, Given
from lit_makemore.diagnostics import drawing, tensorboard
from lit_makemore.diagnostics.monitor import Monitor
from lit_makemore.diagnostics.settings import Diagnostics
from lit_makemore.sampling import scoring
from lit_makemore.training.datamodule import NamesDataModule
from lit_makemore.training.loaders import EvaluationLoader
from lit_makemore.training.metrics import SplitMetrics
from lit_makemore.training.module import LitMLP
from tests.conftest import ROOT
from tests.pretended_gpu import DEVICE, PRETENDED, lightning_has_it, pretended_gpu
from tests.same_run import curves
from tests.training.test_module import trainer

USUAL = {
    "model": {"n_hidden": 10, "n_layer": 2, "dropout": 0.1, "bn_variance": "biased"},
    "trainer": {"val_check_interval": 10, "log_every_n_steps": 5, "gradient_clip_val": 1.0},
}
MIXED = {"count_mixture": True}


@pytest.fixture
def command(tmp_path, word_list, capsys):
    """Runs a command; returns what it says. Raises what it raises."""
    taught = {"data": {"path": str(word_list)}, **USUAL, "seed_everything": 7}
    taught["trainer"] = USUAL["trainer"] | {"max_steps": 10}
    (tmp_path / "teacher.yaml").write_text(yaml.dump(taught))

    def run(what: str, accelerator: str, *more: str, **model) -> str:
        config = {
            "data": {"path": str(word_list), "batch_size": 16, "predict_path": str(word_list)},
            "model": USUAL["model"] | model,
            "trainer": USUAL["trainer"] | {"max_steps": 20, "accelerator": accelerator},
            "diagnostics": {"every_n_steps": 7, "pictures": True},
        }
        (tmp_path / "config.yaml").write_text(yaml.dump(config))
        arguments = [what, "--config", str(tmp_path / "config.yaml"), "--runs_dir", str(tmp_path)]
        assert main([*arguments, "--threads", "1", *more, "--debug"]) == 0
        said = capsys.readouterr()
        return said.out + said.err

    return run


def whole(command, tmp_path, accelerator: str, name: str = "run") -> None:
    """Two fits, by counted targets and by those of a teacher, and what is done with the second."""
    taught = ["--data.targets", "teacher", "--data.teachers", f"[{tmp_path / 'teacher.yaml'}]"]
    expected = ["--data.targets", "expected", "--data.block_size", "4"]
    command("fit", accelerator, "--name", f"{name}-expected", *expected, engine="autograd", **MIXED)
    command("fit", accelerator, "--name", name, *taught, engine="autograd")
    read = ["--name", name, "--ckpt_path", str(tmp_path / name / "checkpoints" / "best.ckpt")]
    for what in ("validate", "test", "predict"):
        command(what, accelerator, *read)


@pytest.mark.slow
def test_whole_runs_have_the_numbers_of_a_cpu(command, tmp_path, monkeypatch):
    """Where BatchNorm is written out there, too."""
    whole(command, tmp_path, "cpu", "here")
    with lightning_has_it(monkeypatch):
        whole(command, tmp_path, "gpu", "there")
    for more in ("", "-expected"):
        here, there = tmp_path / f"here{more}", tmp_path / f"there{more}"
        one, two = (json.loads((run / "summary.json").read_text()) for run in (here, there))
        assert (one["device"], two["device"]) == ("cpu", PRETENDED)
        assert one["val_loss"] == two["val_loss"]
        assert (here / "samples.txt").read_text() == (there / "samples.txt").read_text()
        assert curves(here)["1_losses/train"] == curves(there)["1_losses/train"]


FAULTS = [
    (EvaluationLoader, "__iter__", "part.to(self._device)", "part"),
    (Expected, "__init__", "(pairs % vocab_size).to(device)", "(pairs % vocab_size)"),
    (Expected, "__init__", "float().to(device)", "float()"),
    (Expected, "__init__", "of.bincount().to(device)", "of.bincount()"),
    (Expected, "__getitem__", ", device=x.device", ""),
    (Given, "__init__", "[0].cpu()", "[0]"),
    (Given, "__init__", "table.to(windows.device)", "table"),
    (Mixture, "forward", "x.cpu()", "x"),
    (Mixture, "forward", ".to(p.device)", ""),
    (Mixture, "fit", "probabilities(net(x)).cpu()", "probabilities(net(x))"),
    (Mixture, "fit", "[:, 0].cpu()", "[:, 0]"),
    (targets, "ranges", "(len(first), device=first.device)", "(len(first))"),
    (scoring, "logits_of", "piece.to(device)", "piece"),
    (scoring, "logits_of", ").cpu()", ")"),
    (SplitMetrics, "update", "value.to(self.sums.device)", "value"),
    (drawing, "saturation", ".cpu()", ""),
    (inner_runs, "_train_teacher", "one.model.net.cpu()", "one.model.net"),
]


def without(monkeypatch, owner, name: str, text: str, instead: str) -> None:
    """Replaces a text in the source of a function."""
    function = inspect.unwrap(getattr(owner, name))
    source = textwrap.dedent(inspect.getsource(getattr(owner, name)))
    assert text in source
    made: dict = {}
    exec(source.replace(text, instead), function.__globals__, made)
    monkeypatch.setattr(owner, name, made[function.__name__])


@pytest.mark.slow(minutes=3)
@pytest.mark.parametrize(("owner", "name", "text", "instead"), FAULTS)
def test_a_tensor_that_is_not_moved_shows(
    command, tmp_path, monkeypatch, owner, name, text, instead
):
    without(monkeypatch, owner, name, text, instead)
    with lightning_has_it(monkeypatch), pytest.raises((RuntimeError, TypeError)):
        whole(command, tmp_path, "gpu")


@pytest.mark.slow
def test_examples_follow_the_module_in_a_script(word_list, monkeypatch):
    """`data.setup()` without a Trainer puts them on the CPU."""
    data = NamesDataModule(str(word_list), batch_size=16, targets="expected")
    data.setup()
    for accelerator in ("gpu", "cpu"):
        monitor = Monitor(Diagnostics(every_n_steps=2))
        module = LitMLP(data.chars, 3, n_hidden=8, n_layer=1, engine="autograd", count_mixture=True)
        with lightning_has_it(monkeypatch):
            runner = trainer(4, accelerator=accelerator, callbacks=[monitor], val_check_interval=2)
            runner.fit(module, data)
            assert data.splits["val"].windows.device == runner.strategy.root_device
        assert "held_out/val" in monitor.figures


def test_histograms_are_counted_on_the_cpu(monkeypatch):
    """A GPU has no deterministic way to."""
    seen, histc = [], torch.Tensor.histc
    counting = lambda t, *how: seen.append(t.device.type) or histc(t, *how)  # noqa: E731
    monkeypatch.setattr(torch.Tensor, "histc", counting)
    values = torch.randn(100)
    here = tensorboard.histogram(values, 1.0)
    with pretended_gpu():
        assert tensorboard.histogram(values.to(DEVICE), 1.0) == here
    assert {*seen} == {"cpu"}


@pytest.mark.slow
def test_a_run_that_goes_on_elsewhere_says_so(command, monkeypatch):
    there = f"changed from here on: device: cpu -> {PRETENDED}"
    more = ["--name", "run", "--resume", "auto", "--resume_override", "true", "--trainer.max_steps"]
    command("fit", "cpu", *more, "10")
    with lightning_has_it(monkeypatch):
        assert there in command("fit", "gpu", *more, "20")
        assert "device" not in command("fit", "gpu", *more, "30")
    assert f"device: {PRETENDED} -> cpu" in command("fit", "cpu", *more, "40")


def test_random_state_is_kept_of_named_devices_only():
    """Otherwise torch warns, and opens a context on every GPU of the machine."""
    files = [path.read_text() for path in (ROOT / "lit_makemore").rglob("*.py")]
    calls = [call for text in files for call in re.findall(r"fork_rng\((.)", text)]
    assert len(calls) == 6
    assert ")" not in calls

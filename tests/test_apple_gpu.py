"""An Apple GPU has no float64. No test machine has such a GPU, so these tests watch for float64."""

import sys
from pathlib import Path

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from lit_makemore.cli import main
from lit_makemore.training import engine
from lit_makemore.training.datamodule import NamesDataModule
from lit_makemore.training.metrics import SplitMetrics
from lit_makemore.training.module import LitMLP
from tests.conftest import ROOT
from tests.training.test_module import trainer


@pytest.fixture
def apple(monkeypatch):
    """Makes a trainer on the CPU say that it is on an Apple GPU."""

    def pretend(runner):
        device = property(lambda strategy: torch.device("mps"))
        monkeypatch.setattr(type(runner.strategy), "root_device", device)
        return runner

    return pretend


def test_native_steps_are_ruled_out_on_it(apple, word_list):
    data = NamesDataModule(str(word_list))
    data.setup()
    module, runner = LitMLP(data.chars, 3, n_hidden=8, n_layer=1), trainer(100)
    runner.datamodule = data
    assert list(engine.ruled_out(runner, module)) == []  # nothing else does
    assert list(engine.ruled_out(apple(runner), module)) == ["not on a CPU"]


@pytest.mark.parametrize("stage", ["fit", "validate", "test"])
def test_its_metrics_are_in_float32(apple, stage):
    model = LitMLP("abc", 3, n_hidden=8, n_layer=1)
    model.trainer = apple(trainer(10))
    model.setup(stage)
    metrics, logits, y = model.split_metrics, torch.randn(5, 4), torch.randint(0, 4, (5,))
    for _ in range(2):  # a new epoch begins with new sums
        metrics.update(logits, y, torch.ones(5, 2, dtype=torch.int64))
        assert metrics.sums.dtype == metrics.counts.dtype == torch.float32
        metrics.compute()
        metrics.reset()


class Float64(TorchDispatchMode):
    """Records which functions of the package call an operation that returns float64."""

    def __init__(self) -> None:
        super().__init__()
        self.makers: set[str] = set()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        several = result if isinstance(result, tuple | list) else [result]
        if any(isinstance(r, torch.Tensor) and r.dtype == torch.float64 for r in several):
            self.makers.add(maker())
        return result


def maker() -> str:
    """The innermost function of the package that is being executed: its file and name."""
    package = ROOT / "lit_makemore"
    frame = sys._getframe(1)
    while frame is not None and package not in Path(frame.f_code.co_filename).parents:
        frame = frame.f_back
    if frame is None:
        return "elsewhere"
    return (
        f"{Path(frame.f_code.co_filename).relative_to(package).as_posix()} {frame.f_code.co_name}"
    )


@pytest.mark.slow
def test_float64_is_made_by_counting_only(tmp_path, word_list, monkeypatch):
    """Counting is done on the CPU. Everything is switched on but what is refused."""
    monkeypatch.setattr(SplitMetrics, "__init__", in_float32(SplitMetrics.__init__))
    monkeypatch.setattr(engine, "ruled_out", lambda *of: iter(["not on a CPU"]))
    arguments = f"fit --data.path {word_list} --data.batch_size 16 --data.targets kneser_ney"
    arguments += " --model.n_hidden 10 --model.n_layer 2 --model.dropout 0.1"
    arguments += " --model.count_mixture true --trainer.max_steps 12 --trainer.accelerator cpu"
    arguments += " --trainer.val_check_interval 6 --trainer.log_every_n_steps 5"
    arguments += " --trainer.gradient_clip_val 1.0 --diagnostics.every_n_steps 7"
    with Float64() as mode:
        assert main([*arguments.split(), "--runs_dir", str(tmp_path), "--name", "run"]) == 0
    assert "counts/ngrams.py smoothed" in mode.makers  # the mode does see it
    others = {name for name in mode.makers if not name.startswith("counts/")}
    # before `setup` changes it; the weights of a mixture, which stay on the CPU
    assert others - {"model.py read"} == {"training/metrics.py __init__"}


def in_float32(initialise):
    def wrapped(self, **arguments) -> None:
        initialise(self, **arguments)
        self.set_dtype(torch.float32)

    return wrapped

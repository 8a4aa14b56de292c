"""The callback: what it sees, in any company, and that it changes nothing."""

import json
import subprocess
import sys

import lightning.pytorch as pl
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from lit_makemore.diagnostics import probe
from lit_makemore.diagnostics.monitor import Monitor
from lit_makemore.diagnostics.progress import ProgressLine
from lit_makemore.diagnostics.settings import Bands, Diagnostics
from lit_makemore.runs.stopping import StopOnNaN
from tests.conftest import ROOT
from tests.fits import fit, trainer

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*num_workers:UserWarning", "ignore:Using ModelCheckpoint with manual optimization"
)


class Foreign(pl.LightningModule):
    """Someone else's module, with torch.nn's layers; `loss` is no method of a minibatch."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 8), nn.ReLU())
        self.head = nn.Linear(8, 1)
        self.loss = nn.MSELoss()

    def forward(self, x):
        return self.head(self.body(x))

    def training_step(self, batch, batch_idx):
        x, y = batch
        return self.loss(self(x), y)

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=1e-3)


class WithLoss(Foreign):
    def __init__(self) -> None:
        super().__init__()
        del self.loss

    def loss(self, batch):
        x, y = batch
        return nn.functional.mse_loss(self(x), y)

    def training_step(self, batch, batch_idx):
        return self.loss(batch)


class OnlySteps(Foreign):
    """It has no forward either."""

    forward = pl.LightningModule.forward

    def training_step(self, batch, batch_idx):
        x, y = batch
        return self.loss(self.head(self.body(x)), y)


class Logger(pl.loggers.logger.DummyLogger):
    def __init__(self) -> None:
        super().__init__()
        self.calls: list[int] = []
        self.logged: dict[int, dict[str, float]] = {}

    def log_metrics(self, metrics, step=None):
        self.calls.append(step)
        self.logged.setdefault(step, {}).update(metrics)


def fit_foreign(monitor, module=Foreign, **kwargs):
    torch.manual_seed(1)
    x, y = torch.randn(320, 4), torch.randn(320, 1)
    loader = DataLoader(TensorDataset(x, y), batch_size=32, generator=torch.Generator())
    module, logger = module(), Logger()
    usual = {"logger": logger, "limit_val_batches": 0, "log_every_n_steps": 5}
    trainer(20, callbacks=monitor, **usual, **kwargs).fit(module, loader)
    return module, logger


def every(n: int, pictures: bool = False, **options) -> Monitor:
    return Monitor(Diagnostics(every_n_steps=n, pictures=pictures, **options))


@pytest.mark.parametrize(
    ("max_steps", "interval"), [(100, 50), (2500, 50), (100_000, 2000), (-1, 1000)]
)
def test_a_run_has_about_fifty_probes_at_least_fifty_updates_apart(max_steps, interval):
    chosen, given = Monitor(), every(7)
    runner = pl.Trainer(max_steps=max_steps, max_epochs=-1, logger=False, accelerator="cpu")
    for one in (chosen, given):
        one.setup(runner, pl.LightningModule(), "fit")
    assert (chosen.every_n_steps, given.every_n_steps) == (interval, 7)
    assert [given.due(step) for step in (0, 1, 7, 10, 98)] == [1, 7, 10, 14, 100]


@pytest.mark.parametrize("accumulate", [1, 3])
def test_it_probes_and_writes_once_at_each_update_that_is_due(accumulate, monkeypatch):
    probes = []
    monkeypatch.setattr(
        probe, "run_probe", lambda *a, run=probe.run_probe: probes.append(run(*a)) or probes[-1]
    )
    monitor = every(8)
    _, logger = fit_foreign(monitor, accumulate_grad_batches=accumulate)
    assert logger.calls == [step for step, _ in monitor.history] == [1, 8, 10, 16]
    assert len(probes) == 4


SAID = "nan saturation dead depth gradient update_ratio"


@pytest.mark.parametrize(
    ("module", "judged"),
    [(Foreign, SAID.replace("gradient ", "")), (WithLoss, SAID), (OnlySteps, "nan update_ratio")],
)
def test_of_another_module_it_shows_what_there_is_and_says_what_is_missing(module, judged):
    plain, _ = fit_foreign(None, module)
    monitor = every(10)
    trained, logger = fit_foreign(monitor, module)
    assert list(logger.logged) == [1, 10, 20]
    for name in ("mean", "std", "saturated", "dead"):
        assert (f"activation_{name}/body.1" in logger.logged[10]) is (module is not OnlySteps)
    assert "activation_saturated/body.3" not in logger.logged[10]  # ReLU: no two ends
    assert logger.logged[20]["health/nan"] == 1
    for figure in ("loss", "gradient_std/body.1", "grad_to_data/head.weight"):
        assert (figure in monitor.figures) is (module is WithLoss)
    assert {*monitor.health.verdicts} == {*judged.split()}
    why = monitor.health.summary()["gradient"]
    assert (why == "ok") or why.endswith("of a module with a method loss(batch)")
    for p, q in zip(plain.parameters(), trained.parameters(), strict=True):
        assert torch.equal(p, q)


def test_a_long_history_is_thinned_over_its_whole_length(monkeypatch):
    monkeypatch.setattr("lit_makemore.diagnostics.monitor.KEPT", 10)
    fit_foreign(monitor := every(1))
    assert [step for step, _ in monitor.history] == [1, 5, 9, 12, 14, 16, 17, 18, 19, 20]


def test_in_another_fit_a_monitor_begins_anew():
    """As where a cell of a notebook runs twice."""
    fit_foreign(monitor := every(10))
    first = monitor.history, monitor.health.verdicts
    fit_foreign(monitor)
    assert (monitor.history, monitor.health.verdicts) == first
    assert first[0] is not monitor.history
    assert monitor.probe.when == "before update 20"


def test_a_finished_fit_that_is_called_again_keeps_what_was_seen(word_list):
    module, data, runner = fit(word_list, 20, monitor := every(10))
    seen = monitor.history
    runner.fit(module, data)
    assert monitor.history is seen
    assert [step for step, _ in seen] == [1, 10, 20]


def observed(word_list, *callbacks, **arguments):
    """A fit with these callbacks: its module, and the figures of its updates."""
    logger = Logger()
    arguments["model"] = {"n_layer": 2, **arguments.get("model", {})}
    usual = {"val_check_interval": 20, "log_every_n_steps": 5, "logger": logger}
    module = fit(word_list, 60, *callbacks, **{**usual, **arguments}).module
    for figures in logger.logged.values():
        figures.pop("train/steps_per_s", None)
    return module, logger.logged


ADAMW = {"optimizer": "adamw", "lr": 0.01, "weight_decay": 0.1}


@pytest.mark.parametrize(
    ("pictures", "arguments"),
    [
        (True, {"model": {"engine": "native"}}),
        (False, {"model": {"engine": "native", **ADAMW}, "gradient_clip_val": 0.1}),
        (False, {"model": {"engine": "autograd"}, "gradient_clip_val": 0.1}),
        (False, {"model": {"engine": "autograd", **ADAMW}}),
    ],
)
def test_on_and_off_are_bit_identical(word_list, pictures, arguments):
    off, logged_off = observed(word_list, **arguments)
    random_off = torch.get_rng_state()
    on, logged_on = observed(word_list, every(7, pictures), **arguments)
    assert torch.equal(random_off, torch.get_rng_state())
    for name, tensor in off.net.state_dict().items():
        assert torch.equal(tensor, on.net.state_dict()[name]), name
    assert len(logged_off) == 12
    for step, figures in logged_off.items():
        assert figures.items() <= logged_on[step].items()


def test_any_order_of_the_callbacks_gives_the_same(word_list, tmp_path):
    """Of any two, either one is the first in one of the orders."""
    runs = []
    for order in ([0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1]):
        monitor = every(20)
        saver = ModelCheckpoint(tmp_path / "-".join(map(str, order)), every_n_train_steps=25)
        company = [monitor, ProgressLine(), StopOnNaN(), saver]
        more = {"enable_progress_bar": True, "enable_checkpointing": True}
        more["model"] = {"engine": "native"}
        _, logged = observed(word_list, *(company[i] for i in order), **more)
        runs.append((logged, monitor.history, monitor.health.verdicts, monitor.health.table()))
    assert [step for step, _ in monitor.history] == [1, 10, 20, 40, 60]
    assert all(run == runs[0] for run in runs)


class Counting(Monitor):
    """A user's subclass: it must see every minibatch."""

    seen = 0

    def on_train_batch_end(self, *args):
        super().on_train_batch_end(*args)
        self.seen += 1


def test_a_subclass_sees_every_minibatch(word_list):
    counting, plain = (kind(Diagnostics(pictures=False)) for kind in (Counting, Monitor))
    observed(word_list, counting)
    observed(word_list, plain)
    assert counting.seen == 60
    assert counting.figures.keys() == plain.figures.keys()


def test_a_resumed_run_goes_on(word_list):
    before, after = every(20, pictures=True), every(20)
    observed(word_list, before, val_check_interval=60)
    after.load_state_dict(json.loads(json.dumps(before.state_dict())))
    for lowest in ("held_out/lowest", "held_out/lowest_step"):
        assert after.history[-1][1][lowest] == before.figures[lowest]
    assert after.health.verdicts == before.health.verdicts
    assert (after._validations, after._drawn_at) == (1, 60)
    name = "update_ratio/hidden1/linear/weight"
    ratios = [(step, figures[name]) for step, figures in before.history]
    assert [(step, figures[name]) for step, figures in after.history] == ratios


def test_options_reach_the_checks():
    monitor = every(10, bands=Bands(saturation=-1.0), fail_on="saturation, dead")
    with pytest.raises(ValueError, match="fail_on names nan, initial_loss, .*; not typo"):
        every(10, fail_on="nan,typo")
    with pytest.raises(ValueError, match="stopped by diagnostics.fail_on at update 1: saturation"):
        fit_foreign(monitor)


@pytest.mark.slow
def test_of_several_processes_one_writes(tmp_path):
    command = [sys.executable, "train.py", "fit", "--data.path", "data/names_small.txt"]
    command += ["--trainer.accelerator", "cpu", "--trainer.devices", "2", "--threads", "1"]
    command += ["--trainer.strategy", "ddp", "--trainer.max_steps", "120", "--name", "run"]
    command += ["--trainer.val_check_interval", "60", "--runs_dir", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    assert len(list((tmp_path / "run").glob("events.*"))) == 1
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["health"]["nan"] == "ok"

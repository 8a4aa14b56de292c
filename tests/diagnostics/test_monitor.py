import lightning.pytorch as pl
import pytest

from lit_makemore.diagnostics import monitor
from lit_makemore.diagnostics.activations import ActivationMonitor
from lit_makemore.diagnostics.gradients import GradientMonitor
from lit_makemore.diagnostics.health import Health
from lit_makemore.diagnostics.monitor import Monitor, due_update
from lit_makemore.diagnostics.probe import run_probe
from lit_makemore.diagnostics.updates import UpdateMonitor
from tests.diagnostics.test_activations import fit

pytestmark = pytest.mark.filterwarnings("ignore:.*num_workers:UserWarning")


class Recorder(Monitor):
    def __init__(self, every_n_steps: int) -> None:
        super().__init__(every_n_steps)
        self.calls: list[tuple[str, int]] = []

    def before_update(self, trainer, module, batch, due):
        self.calls.append(("before", due.step))

    def after_update(self, trainer, module, due):
        self.calls.append(("after", due.step))


@pytest.mark.parametrize(
    ("max_steps", "interval"), [(100, 50), (2500, 50), (100_000, 2000), (-1, 1000)]
)
def test_a_run_has_about_fifty_probes_at_least_fifty_updates_apart(max_steps, interval):
    chosen, given = Monitor(), Monitor(7)
    trainer = pl.Trainer(max_steps=max_steps, max_epochs=-1, logger=False, accelerator="cpu")
    for one in (chosen, given):
        one.setup(trainer, pl.LightningModule(), "fit")
    assert (chosen.probe_interval, given.probe_interval) == (interval, 7)


@pytest.mark.parametrize("accumulate", [1, 3])
def test_it_is_called_once_before_and_once_after_each_update_that_is_due(accumulate):
    recorder = Recorder(8)
    fit([recorder], accumulate_grad_batches=accumulate)
    due = [1, 8, 10, 16]
    assert recorder.calls == [(when, step) for step in due for when in ("before", "after")]


def test_a_figure_is_written_once_where_gradients_are_added_up():
    class Counter(pl.Callback):
        written: list[int] = []

        def on_train_start(self, trainer, pl_module):
            log = trainer.logger.log_metrics

            def count(metrics, step=None):
                self.written.append(step)
                log(metrics, step)

            trainer.logger.log_metrics = count

    fit([Counter(), ActivationMonitor(8)], accumulate_grad_batches=3)
    assert Counter.written == [1, 8, 10, 16]


def test_the_monitors_of_a_trainer_share_one_probe(monkeypatch):
    n_probes = 0

    def counted(*args):
        nonlocal n_probes
        n_probes += 1
        return run_probe(*args)

    monkeypatch.setattr(monitor, "run_probe", counted)
    fit([ActivationMonitor(10), GradientMonitor(10), UpdateMonitor(10), Health(every_n_steps=10)])
    assert n_probes == 3  # at the updates 1, 10 and 20


def test_figures_belong_to_one_update():
    trainer = pl.Trainer(logger=False, accelerator="cpu")
    due_update(trainer, 1).figures["loss"] = 3.3
    assert due_update(trainer, 1).figures == {"loss": 3.3}
    assert due_update(trainer, 2).figures == {}


def test_health_judges_a_foreign_module_too():
    health = Health(every_n_steps=10)
    _, logged = fit([ActivationMonitor(10), UpdateMonitor(10), health])
    assert set(health.verdicts) == {"nan", "saturation", "dead", "depth", "update_ratio"}
    assert logged[20]["health/nan"] == 1
    assert "body.0.weight" in health.table() or "body.2.weight" in health.table()

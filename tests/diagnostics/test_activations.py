"""On someone else's module, with torch.nn's layers."""

import lightning.pytorch as pl
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from lit_makemore.diagnostics.activations import ActivationMonitor, activation_scalars
from lit_makemore.diagnostics.probe import Probe
from tests.training.test_module import trainer


class Foreign(pl.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 8), nn.ReLU())
        self.head = nn.Linear(8, 1)

    def forward(self, x):
        return self.head(self.body(x))

    def training_step(self, batch, batch_idx):
        x, y = batch
        return nn.functional.mse_loss(self(x), y)

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=1e-3)


class Logger(pl.loggers.logger.DummyLogger):
    def __init__(self) -> None:
        super().__init__()
        self.logged: dict[int, dict[str, float]] = {}

    def log_metrics(self, metrics, step=None):
        self.logged.setdefault(step, {}).update(metrics)


def fit(callbacks, **kwargs):
    torch.manual_seed(1)
    x, y = torch.randn(320, 4), torch.randn(320, 1)
    loader = DataLoader(TensorDataset(x, y), batch_size=32, generator=torch.Generator())
    module, logger = Foreign(), Logger()
    runner = trainer(
        20, callbacks=callbacks, logger=logger, limit_val_batches=0, log_every_n_steps=5, **kwargs
    )
    runner.fit(module, loader)
    return module, logger.logged


@pytest.mark.filterwarnings("ignore:.*num_workers:UserWarning")
def test_it_stands_alone_on_another_module():
    plain, _ = fit([])
    module, logged = fit([ActivationMonitor(every_n_steps=10)])
    assert list(logged) == [1, 10, 20]
    assert logged[10].keys() == {
        *(f"activation_{what}/body.1" for what in ("mean", "std", "saturated", "dead")),
        *(f"activation_{what}/body.3" for what in ("mean", "std", "dead")),  # ReLU: no two ends
    }
    for p, q in zip(plain.parameters(), module.parameters(), strict=True):
        assert torch.equal(p, q)


def test_figures_are_shares_of_values_and_of_units():
    t = torch.tensor([[0.99, 0.0], [0.98, 0.98]])
    probe = Probe(None, {"a": t}, {"a": t.abs() > 0.97}, frozenset("a"))
    found = activation_scalars(probe)
    assert found["activation_mean/a"] == pytest.approx(float(t.mean()))
    assert found["activation_std/a"] == pytest.approx(float(t.std()))
    assert found["activation_saturated/a"] == 75
    assert found["activation_dead/a"] == 50

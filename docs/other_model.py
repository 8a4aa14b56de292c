"""The monitor on a Lightning model of your own: two spirals, told apart by layers of torch.nn.

    python docs/other_model.py [FOLDER]
    tensorboard --logdir FOLDER

The monitor needs nothing of the module but layers of torch.nn. Gradients need a method
`loss(batch)` too, which returns the loss of a minibatch. `monitor.figures` has the figures of the
latest probe, and `monitor.history` those of all of them, by the names of docs/diagnostics.md.
"""

import sys

import lightning.pytorch as pl
import torch
from lightning.pytorch.loggers import TensorBoardLogger
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from lit_makemore.diagnostics.monitor import Monitor
from lit_makemore.diagnostics.settings import Diagnostics


class Spirals(pl.LightningModule):
    """Which of two spirals a point of the plane is on."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Linear(2, 64), nn.BatchNorm1d(64), nn.Tanh(),
            nn.Linear(64, 64), nn.BatchNorm1d(64), nn.Tanh(),
        )  # fmt: skip
        self.head = nn.Linear(64, 2)

    def loss(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        points, spiral = batch
        return nn.functional.cross_entropy(self.head(self.body(points)), spiral)

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        loss = self.loss(batch)
        self.log("train/loss", loss)
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=1e-3)


def spirals(n: int) -> TensorDataset:
    """n points, and the number of the spiral of each."""
    radius, spiral = torch.rand(n), torch.randint(0, 2, (n,))
    angle = 9 * radius + torch.pi * spiral
    points = torch.stack([radius * angle.cos(), radius * angle.sin()], 1)
    return TensorDataset(points + 0.01 * torch.randn(n, 2), spiral)


def main() -> None:
    folder = sys.argv[1] if len(sys.argv) > 1 else "runs"
    pl.seed_everything(1)
    monitor = Monitor(Diagnostics(every_n_steps=50))
    trainer = pl.Trainer(
        max_steps=500,
        callbacks=[monitor],
        logger=TensorBoardLogger(folder, name="spirals"),
        enable_progress_bar=False,
    )
    trainer.fit(Spirals(), DataLoader(spirals(4000), batch_size=64, shuffle=True))
    print(monitor.health.table())
    ratio = "update_ratio/body.3.weight"
    print("\nlog10 of update over weight:")
    for step, figures in monitor.history:
        print(f"{step:>6} {figures[ratio]:.2f}")


if __name__ == "__main__":
    main()

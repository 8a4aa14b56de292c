"""Does it do as well on words that it has not seen? Train and val loss of the same weights."""

from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor

from lit_makemore.diagnostics.monitor import DueUpdate, Monitor
from lit_makemore.diagnostics.probe import network_of
from lit_makemore.network.mlp import cross_entropy
from lit_makemore.network.restored import evaluating

EXAMPLES = 1000  # of each split: enough for a difference of a tenth of a nat


class HeldOutMonitor(Monitor):
    """Measures after each update that is due, for the monitors that follow:

        held_out/train, held_out/val   losses of the first 1,000 examples, in evaluation mode
        held_out/lowest                the lowest held_out/val so far
        held_out/lowest_step           after which update that was

    train/loss and val/loss draw the same; this one comes more often than validations, and compares
    like with like. Needs a data module with `splits`, else there are no figures.

    Args:
        every_n_steps: see Monitor.
    """

    def __init__(self, every_n_steps: int | None = None) -> None:
        super().__init__(every_n_steps)
        self.lowest: tuple[float, int] | None = None  # the loss and the update
        self._examples: dict[str, tuple[Tensor, Tensor]] = {}  # windows (N, T), targets (N,)

    def state_dict(self) -> dict[str, Any]:
        return {"lowest": self.lowest}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.lowest = state_dict["lowest"]

    def after_update(self, trainer: pl.Trainer, module: pl.LightningModule, due: DueUpdate) -> None:
        splits = getattr(getattr(trainer, "datamodule", None), "splits", None)
        if not splits:
            return
        train, val = (self._loss(trainer, module, splits, name) for name in ("train", "val"))
        if self.lowest is None or val < self.lowest[0]:
            self.lowest = val, due.step
        figures = {"train": train, "val": val}
        figures |= {"lowest": self.lowest[0], "lowest_step": float(self.lowest[1])}
        due.figures.update({f"held_out/{name}": value for name, value in figures.items()})

    @torch.no_grad()
    def _loss(self, trainer: pl.Trainer, module: Any, splits: Any, name: str) -> float:
        net = network_of(module)
        if name not in self._examples:
            windows = splits[name].windows
            self._examples[name] = windows[torch.arange(min(EXAMPLES, len(windows)))]
        x, y = self._examples[name]
        with evaluating(net), trainer.precision_plugin.forward_context():
            return float(cross_entropy(net(x), y))

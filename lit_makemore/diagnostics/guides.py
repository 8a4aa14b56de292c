"""What counting achieves, as lines beside the network's losses."""

from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.loggers import TensorBoardLogger
from torch.utils.tensorboard import SummaryWriter

SHOWN = ("uniform", "bigram", "kneser_ney")


class LossGuides(pl.Callback):
    """Writes train/loss and val/loss of the counting baselines, each as a run of its own, in
    guides/<baseline> of the run's folder: TensorBoard then draws them as lines in the same charts.
    """

    def __init__(self) -> None:
        self._drawn = False

    def state_dict(self) -> dict[str, Any]:
        return {"drawn": self._drawn}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._drawn = state_dict["drawn"]

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.state.fn == "fit" and not self._drawn:
            self._draw(trainer, 0, max(trainer.max_steps, trainer.global_step))
            self._drawn = True

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.max_steps < 0:
            self._draw(trainer, trainer.global_step)

    def _draw(self, trainer: Any, *steps: int) -> None:
        loggers = [one for one in trainer.loggers if isinstance(one, TensorBoardLogger)]
        if not trainer.is_global_zero or not loggers:
            return
        for name in SHOWN:
            figures = trainer.datamodule.baselines[name]
            with SummaryWriter(f"{loggers[0].log_dir}/guides/{name}") as writer:
                for step in steps:
                    writer.add_scalar("train/loss", figures["train"], step)
                    writer.add_scalar("val/loss", figures["val"], step)

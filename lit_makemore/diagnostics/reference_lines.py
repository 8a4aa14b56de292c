"""What counting achieves, as lines beside the network's losses."""

from math import isfinite
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.loggers import TensorBoardLogger
from torch.utils.tensorboard import SummaryWriter

SHOWN = ("uniform", "bigram", "kneser_ney")


class ReferenceLines(pl.Callback):
    """Writes the losses of the count models, so that TensorBoard draws each as a level line:

        train/loss, val/loss   in the run's folder guides/<count model>

    The first validation draws the lines, from 0 to the end of the run.
    """

    state_key = "LossGuides"  # type: ignore[assignment]  # its name in earlier checkpoints

    def __init__(self) -> None:
        self._drawn = False

    def state_dict(self) -> dict[str, Any]:
        return {"drawn": self._drawn}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._drawn = bool(state_dict["drawn"])

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.state.fn != "fit" or self._drawn:
            return
        self._drawn = True
        loggers = [one for one in trainer.loggers if isinstance(one, TensorBoardLogger)]
        if not trainer.is_global_zero or not loggers:
            return
        length = trainer.estimated_stepping_batches  # infinite where only the time is limited
        end = int(length) if isfinite(length) else trainer.global_step
        for name in SHOWN:
            losses = trainer.datamodule.baselines[name]  # type: ignore[attr-defined]
            with SummaryWriter(f"{loggers[0].log_dir}/guides/{name}") as writer:
                for step in (0, end):
                    writer.add_scalar("train/loss", losses["train"], step)
                    writer.add_scalar("val/loss", losses["val"], step)

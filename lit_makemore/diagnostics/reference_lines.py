"""What counting achieves, as lines beside the network's losses."""

from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.loggers import TensorBoardLogger
from torch.utils.tensorboard import SummaryWriter

SHOWN = ("uniform", "bigram", "kneser_ney")


class ReferenceLines(pl.Callback):
    """Writes the losses of the count models, so that TensorBoard draws each as a level line:

        train/loss, val/loss   in the run's folder guides/<count model>

    The first validation draws the line from 0 to max_steps. The end of the run makes it longer if
    the run is longer, as one without max_steps is.
    """

    state_key = "LossGuides"  # type: ignore[assignment]  # its name in earlier checkpoints

    def __init__(self) -> None:
        self._drawn_to = 0  # the update where the lines end

    def state_dict(self) -> dict[str, Any]:
        return {"drawn": self._drawn_to}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._drawn_to = int(state_dict["drawn"])  # True in checkpoints of earlier versions

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.state.fn == "fit" and self._drawn_to == 0:
            self._draw(trainer, 0, max(trainer.max_steps, trainer.global_step))

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if 0 < self._drawn_to < trainer.global_step:
            self._draw(trainer, trainer.global_step)

    def _draw(self, trainer: pl.Trainer, *steps: int) -> None:
        self._drawn_to = steps[-1]
        loggers = [one for one in trainer.loggers if isinstance(one, TensorBoardLogger)]
        if not trainer.is_global_zero or not loggers:
            return
        for name in SHOWN:
            losses = trainer.datamodule.baselines[name]  # type: ignore[attr-defined]
            with SummaryWriter(f"{loggers[0].log_dir}/guides/{name}") as writer:
                for step in steps:
                    writer.add_scalar("train/loss", losses["train"], step)
                    writer.add_scalar("val/loss", losses["val"], step)

"""The curve of Lightning's learning-rate finder."""

import lightning.pytorch as pl
from lightning.pytorch.callbacks import LearningRateFinder

from lit_makemore.diagnostics.events import write


class LearningRateCurve(pl.Callback):
    """Writes what a LearningRateFinder among the callbacks has tried, before the first update:

    lr_finder/lr, lr_finder/loss   rate and loss of the trial's updates
    """

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            if isinstance(callback, LearningRateFinder) and callback.optimal_lr is not None:
                tried = callback.optimal_lr.results
                for step, (lr, loss) in enumerate(zip(tried["lr"], tried["loss"], strict=True), 1):
                    write(trainer, step, {"lr_finder/lr": lr, "lr_finder/loss": loss})

"""Fits the mixture of a LitMLP to the val words, before each validation of a fit."""

from typing import Any

import lightning.pytorch as pl


class MixtureFit(pl.Callback):
    """Chooses the network's weight, and the factors of training words where there are some."""

    def on_validation_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        if trainer.state.fn == "fit":
            examples = trainer.datamodule.evaluation_loader("val")  # type: ignore[attr-defined]
            pl_module.model.mixture.fit(pl_module.net, examples)

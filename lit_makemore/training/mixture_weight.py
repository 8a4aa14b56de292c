"""Chooses how much of a mixture is the network's."""

from typing import Any

import lightning.pytorch as pl

from lit_makemore.counts.mixture import choose_weight


class MixtureWeight(pl.Callback):
    """Before each validation of a fit: the weight with which the val loss is lowest."""

    def on_validation_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        if trainer.state.fn == "fit":
            examples = trainer.datamodule.evaluation_loader("val")  # type: ignore[attr-defined]
            pl_module.mixture_weight = choose_weight(pl_module.net, pl_module.counts, examples)

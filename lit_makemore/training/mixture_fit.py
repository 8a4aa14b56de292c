"""Fits a mixture to the val words: the network's weight, and the training words' share."""

from typing import Any

import lightning.pytorch as pl

from lit_makemore.counts.mixture import Mixture, choose_weight


class MixtureFit(pl.Callback):
    """Before each validation of a fit: the weight with which the val loss is lowest.

    With --model.known_words true also the factors that give training words their share of val.
    """

    def on_validation_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        if trainer.state.fn == "fit":
            examples = trainer.datamodule.evaluation_loader("val")  # type: ignore[attr-defined]
            net, counts = pl_module.net, pl_module.counts
            pl_module.mixture_weight = choose_weight(net, counts, examples)
            if pl_module.known is not None:
                mixture = Mixture(net, counts, pl_module.mixture_weight)
                x, y, n = trainer.datamodule.splits["val"].examples  # type: ignore[attr-defined]
                found = pl_module.known.found_among(x, y, n[:, 0])
                pl_module.known = pl_module.known.fitted(mixture, *found)

"""Weight averaging by Lightning's callbacks, made to resume with the same bits."""

from copy import deepcopy
from typing import Any

import lightning.pytorch as pl


class CurrentWeights(pl.Callback):
    """Keeps the weights that are trained, for a checkpoint that is saved when training has ended.

    By then a WeightAveraging has put its averages in their place, and a resumed run would go on
    from the averages. Comes before it: it moves what is here the `state_dict` of a checkpoint to
    `current_model_state`, and saves the averages as the network.
    """

    def __init__(self) -> None:
        self._weights: dict[str, Any] | None = None  # known once training has ended

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._weights = None

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._weights = deepcopy(pl_module.state_dict())

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        if self._weights is not None:
            checkpoint["state_dict"] = self._weights

"""The lecture's pictures, drawn while it trains."""

from typing import Any

import lightning.pytorch as pl

from lit_makemore.diagnostics import diagnosis
from lit_makemore.diagnostics.monitor import Observer
from lit_makemore.diagnostics.probe import is_due
from lit_makemore.diagnostics.updates import GUIDE

RARER = 10  # a set of pictures comes after this many times the steps of the one before


class Pictures(Observer):
    """Writes, at the first validation, then each time the run has become ten times as long, and
    at the end, as images of the latest update looked at:

        pictures/1_activations       density of each layer's activations
        pictures/2_gradients         of the loss's gradient with respect to them
        pictures/3_weight_gradients  of its gradient with respect to each weight
        pictures/4_update_ratios     log10 of update over weight, over the steps, and the -3 line
        pictures/5_saturation        where units are saturated (ReLU: zero), examples × units
        pictures/6_embedding         the characters in the plane

    Comes after the observers.

    Args:
        every_n_steps: see Observer.
    """

    def __init__(self, every_n_steps: int | None = None) -> None:
        super().__init__(every_n_steps)
        self._history: list[tuple[int, dict[str, float]]] = []
        self._drawn = 0

    def on_train_batch_end(self, trainer: pl.Trainer, *args: Any) -> None:
        step = trainer.global_step
        if is_due(step, self.observes_every):
            shared = diagnosis.of(trainer)
            if shared.latest and (not self._history or self._history[-1][0] < step):
                tag = "update_ratio/"
                ratios = {name: shared.values.get(tag + name) for name in shared.latest.weights}
                found = {name: ratio for name, ratio in ratios.items() if ratio is not None}
                self._history.append((step, found))

    def state_dict(self) -> dict[str, Any]:
        return {"history": self._history, "drawn": self._drawn}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._history, self._drawn = list(state_dict["history"]), state_dict["drawn"]

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.state.fn == "fit" and trainer.global_step >= RARER * self._drawn:
            self._draw(trainer, pl_module)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.global_step > self._drawn:
            self._draw(trainer, pl_module)

    def _draw(self, trainer: pl.Trainer, module: Any) -> None:
        shared = diagnosis.of(trainer)
        seen, self._drawn = shared.latest, trainer.global_step
        if seen is None or not trainer.is_global_zero or not trainer.loggers:
            return
        with shared.timed():
            from lit_makemore.diagnostics import (
                plots,  # half a second, which a run without pictures saves
            )

            at = f"before update {self._history[-1][0]:,}" if self._history else ""
            limit = 1.0 if seen.saturating else None
            pictures = {
                "1_activations": plots.densities(seen.activations, f"activations {at}", limit),
                "2_gradients": plots.densities(seen.gradients, f"gradients of activations {at}"),
                "3_weight_gradients": plots.densities(
                    seen.weight_gradients, f"gradients of weights {at}"
                ),
                "4_update_ratios": plots.ratios(self._history, GUIDE),
                "5_saturation": plots.saturation(seen.flat, f"saturated or dead {at}"),
            }
            embedding = getattr(diagnosis.net_of(module), "embedding", None)
            if embedding is not None:
                pictures["6_embedding"] = plots.embedding(embedding.weight, module.vocab.itos)
            tagged = {f"pictures/{name}": picture for name, picture in pictures.items()}
            diagnosis.write(trainer, trainer.global_step, pictures=tagged)

"""The lecture's pictures, drawn while the network trains."""

from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import lightning.pytorch as pl
from torch import Tensor

from lit_makemore.diagnostics import events
from lit_makemore.diagnostics.monitor import DueUpdate, Monitor
from lit_makemore.diagnostics.probe import SATURATED, Probe, network_of
from lit_makemore.diagnostics.updates import GUIDE

History = list[tuple[int, dict[str, float]]]  # update, and ratios by weight

FACTOR = 10  # a validation draws once the run is this many times as long as at the last pictures
_ARTIST = ThreadPoolExecutor(1)  # has no thread before the first pictures


class Pictures(Monitor):
    """Draws the latest probe: at the first update, which shows the initialization, at the first
    validation, whenever the run has become ten times as long, and at the end. Writes as images:

        pictures/1_activations       density of each layer's activations
        pictures/2_gradients         density of the loss's gradient with respect to them
        pictures/3_weight_gradients  density of its gradient with respect to each weight
        pictures/4_update_ratios     log10 of update over weight, over the steps, and the -3 line
        pictures/5_saturation        white where units are saturated (ReLU: zero), examples × units
        pictures/6_embedding         the characters in the plane, or two principal components

    Comes after the monitors that probe and write update ratios. A thread draws, because six
    pictures take a third of a second; they are written once they are drawn.

    Args:
        every_n_steps: see Monitor.
    """

    def __init__(self, every_n_steps: int | None = None) -> None:
        super().__init__(every_n_steps)
        self._probe: Probe | None = None
        self._history: History = []
        self._drawn_at = 0  # the update after which the last pictures were drawn
        self._drawing: Future[dict[str, Any]] | None = None

    def after_update(self, trainer: pl.Trainer, module: pl.LightningModule, due: DueUpdate) -> None:
        self._write(trainer, wait=False)
        if due.probe is not None:
            ratios = {name: due.figures.get(f"update_ratio/{name}") for name in due.probe.weights}
            known = {name: ratio for name, ratio in ratios.items() if ratio is not None}
            self._probe = due.probe
            self._history.append((due.step, known))
            if due.step == 1:
                self._draw(trainer, module)

    def state_dict(self) -> dict[str, Any]:
        return {"history": self._history, "drawn": self._drawn_at}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._history, self._drawn_at = list(state_dict["history"]), state_dict["drawn"]

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._write(trainer, wait=False)
        if trainer.state.fn == "fit" and trainer.global_step >= FACTOR * self._drawn_at:
            self._draw(trainer, pl_module)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.global_step > self._drawn_at:
            self._draw(trainer, pl_module)

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        self._write(trainer)

    def on_exception(self, trainer: pl.Trainer, *args: Any) -> None:
        self._write(trainer)

    def _draw(self, trainer: pl.Trainer, module: Any) -> None:
        self._write(trainer)
        self._drawn_at = trainer.global_step
        if self._probe is None or not trainer.is_global_zero or not trainer.loggers:
            return
        table: Any = getattr(network_of(module), "embedding", None)
        embedding = None
        if table is not None and hasattr(module, "vocab"):
            embedding = table.weight.detach().clone(), module.vocab.labels
        self._drawing = _ARTIST.submit(_pictures, self._probe, list(self._history), embedding)

    def _write(self, trainer: pl.Trainer, wait: bool = True) -> None:
        if self._drawing is not None and (wait or self._drawing.done()):
            drawn, self._drawing = self._drawing, None
            events.write(trainer, self._drawn_at, pictures=drawn.result())


def _pictures(
    probe: Probe, history: History, embedding: tuple[Tensor, list[str]] | None
) -> dict[str, Any]:
    """The pictures by tag.

    Args:
        probe: what is drawn.
        history: update ratios until then.
        embedding: (V, C), and the V characters.
    """
    # Imported here: matplotlib takes half a second, which a run without pictures saves.
    from lit_makemore.diagnostics import drawing

    when = f"before update {history[-1][0]:,}"
    limit = 1.0 if probe.saturating else None
    pictures = {
        "1_activations": drawing.densities(
            probe.activations, f"activations {when}", "activation", limit
        ),
        "2_gradients": drawing.densities(
            probe.gradients, f"gradients {when}", "gradient of an activation"
        ),
        "3_weight_gradients": drawing.densities(
            probe.weight_gradients, f"gradients of weights {when}", "gradient of a weight"
        ),
        "4_update_ratios": drawing.ratios(history, GUIDE),
        "5_saturation": drawing.saturation(probe.flat, f"white: {_white(probe)}, {when}"),
    }
    if embedding is not None:
        pictures["6_embedding"] = drawing.embedding(*embedding)
    return {f"pictures/{name}": picture for name, picture in pictures.items()}


def _white(probe: Probe) -> str:
    """What is white in the saturation map."""
    if probe.saturating == probe.flat.keys():
        return f"|t| > {SATURATED}"
    return "saturated or zero" if probe.saturating else "zero"

"""One line that says how far the run is."""

import os
import sys
from math import inf
from time import monotonic
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import ProgressBar
from torch import Tensor

from lit_makemore.training.groups import AtUpdates


def erasing() -> str:
    """What erases a line of stderr, on a terminal or in a notebook; elsewhere nothing does."""
    notebook = type(sys.stderr).__module__ == "ipykernel.iostream"
    return f"\r{' ' * 80}\r" if notebook else "\r\033[K" if sys.stderr.isatty() else ""


class ProgressLine(ProgressBar, AtUpdates):
    """Prints step, loss, validation loss, steps per second and time left, on stderr.

    A terminal and a notebook redraw it, every refresh_s seconds; else one follows each validation.
    """

    def __init__(self, refresh_s: float = 0.2) -> None:
        super().__init__()
        self._refresh_s, self._redraws = refresh_s, bool(erasing())
        self._enabled, self._drawn = True, False

    def disable(self) -> None:  # Lightning does it on all processes but the first
        self._enabled = False

    def enable(self) -> None:
        self._enabled = True

    def due(self, step: int) -> float:
        return inf  # it shows what there is

    def on_train_start(self, trainer: Any, pl_module: pl.LightningModule) -> None:
        self._loss: Tensor | None = None
        self._shown = monotonic()

    def on_train_batch_end(
        self, trainer: Any, pl_module: pl.LightningModule, outputs: Any, *args: Any
    ) -> None:
        if self._loss is None:  # the first update pays for the start
            self._first_step, self._begun = trainer.global_step, monotonic()
        self._loss = outputs["loss"] * trainer.accumulate_grad_batches  # Lightning divides it
        if self._redraws and monotonic() - self._shown >= self._refresh_s:
            self._draw(trainer)

    def on_validation_end(self, trainer: Any, pl_module: pl.LightningModule) -> None:
        if trainer.state.fn == "fit" and not trainer.sanity_checking and not self._redraws:
            self._draw(trainer)

    def on_train_end(self, trainer: Any, pl_module: pl.LightningModule) -> None:
        if self._redraws:
            self._draw(trainer)
        self.on_exception()

    def on_exception(self, *args: Any) -> None:
        if self._drawn and self._redraws:
            print(file=sys.stderr)

    def _draw(self, trainer: Any) -> None:
        if not self._enabled or self._loss is None:
            return
        step, steps = trainer.global_step, trainer.max_steps
        self._shown, self._drawn = monotonic(), True
        made, seconds = step - self._first_step, self._shown - self._begun
        parts = [f"step {step:,}" + (f"/{steps:,}" if steps > 0 else "")]
        parts.append(f"loss {float(self._loss):.4f}")
        if (val_loss := trainer.callback_metrics.get("val/loss")) is not None:
            parts.append(f"val loss {float(val_loss):.4f}")
        if made and seconds:
            parts.append(f"{made / seconds:,.0f} steps/s")
        if steps > 0 and made > min(steps / 10, 100):  # fewer may have had many probes
            left = round((steps - step) * seconds / made)
            parts.append(f"{left // 60}:{left % 60:02} left")
        text = erasing() + " · ".join(parts)
        try:
            print(text, end="" if self._redraws else "\n", file=sys.stderr, flush=True)
        except BrokenPipeError:
            raise
        except OSError:  # the disk of the output is full, perhaps not that of the run
            sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115

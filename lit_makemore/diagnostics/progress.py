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

    On a terminal and in a notebook one line is redrawn, every refresh_s seconds; elsewhere a new
    line follows each validation.
    """

    def __init__(self, refresh_s: float = 0.2) -> None:
        super().__init__()
        self._refresh_s = refresh_s
        self._enabled, self._redraws, self._drawn = True, bool(erasing()), False
        self._loss: Tensor | None = None

    def disable(self) -> None:
        self._enabled = False

    def enable(self) -> None:
        self._enabled = True

    def due(self, step: int) -> float:
        return inf  # it shows what there is

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._last_step, self._last_time = trainer.global_step, monotonic()
        self._first_step, self._begun = -1, 0.0  # after the first update, which pays for the start
        self._validation = 0.0  # how long the last one took

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, *args: Any
    ) -> None:
        self._loss = outputs["loss"] * trainer.accumulate_grad_batches  # Lightning divides it
        if self._first_step < 0:
            self._first_step, self._begun = trainer.global_step, monotonic()
        if self._redraws and monotonic() - self._last_time >= self._refresh_s:
            self._draw(trainer)

    def on_validation_start(self, *args: Any) -> None:
        self._validation = -monotonic()

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._validation += monotonic()
        if trainer.state.fn != "fit" or trainer.sanity_checking:
            return
        self._begun += self._validation
        if not self._redraws:
            self._draw(trainer)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self._drawn and self._redraws:
            self._last_step, self._last_time = self._first_step, self._begun  # the mean speed
            self._draw(trainer)
        self.on_exception()

    def on_exception(self, *args: Any) -> None:
        if self._drawn and self._redraws:
            print(file=sys.stderr)

    def _draw(self, trainer: pl.Trainer) -> None:
        if not (self._enabled and trainer.is_global_zero) or self._loss is None:
            return
        step, now, steps = trainer.global_step, monotonic(), trainer.max_steps
        parts = [f"step {step:,}" + (f"/{steps:,}" if steps > 0 else "")]
        parts.append(f"loss {float(self._loss):.4f}")
        if (val_loss := trainer.callback_metrics.get("val/loss")) is not None:
            parts.append(f"val loss {float(val_loss):.4f}")
        if step > self._last_step and now > self._last_time:
            parts.append(f"{(step - self._last_step) / (now - self._last_time):,.0f} steps/s")
        made = step - self._first_step
        if steps > 0 and made > min(steps / 10, 100):  # fewer may have had many probes
            update = (now - self._begun) / made
            every = (trainer.val_check_batch or inf) / trainer.accumulate_grad_batches
            left = round((steps - step) * (update + self._validation / every))
            parts.append(f"{left // 60}:{left % 60:02} left")
        end = "" if self._redraws else "\n"
        try:
            print(erasing() + " · ".join(parts), end=end, file=sys.stderr, flush=True)
        except BrokenPipeError:
            raise
        except OSError:  # the disk of the output is full, perhaps not that of the run
            sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
        self._last_step, self._last_time, self._drawn = step, now, True

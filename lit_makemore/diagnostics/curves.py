"""What the training loop says of itself: loss, learning rate, speed."""

from time import perf_counter
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor


class TrainingScalars(pl.Callback):
    """Logs, every log_every_n_steps updates:

        train/loss        mean minibatch loss since the last entry
        train/lr          learning rate of the last update
        train/steps_per_s updates a second since the last entry, validation left out

    Not self.log: it costs a tenth of a small network's step for each key. Attribute steps_per_s
    is the rate of the whole run, without start-up and validation.
    """

    warmup_steps = 10  # the first updates pay for caches and allocations

    def __init__(self) -> None:
        self._loss: Tensor | float = 0.0
        self._n_losses = 0
        self._step = 0
        self._clock = _Stopwatch()
        self._interval = _Stopwatch()

    @property
    def steps_per_s(self) -> float:
        return self._clock.rate

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._batches = trainer.fit_loop.total_batch_idx + 1
        if isinstance(self._loss, Tensor):  # a checkpoint's, of each process
            alike = len(self._loss) == trainer.world_size
            self._loss = self._loss[trainer.global_rank] if alike else self._loss.mean()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, *args: Any
    ) -> None:
        batches = trainer.fit_loop.total_batch_idx + 1 - self._batches  # one, or a fused group's
        self._loss = self._loss + outputs.get("sum", outputs["loss"])
        self._batches += batches
        self._n_losses += batches
        step, now = trainer.global_step, perf_counter()
        if step == self._step:  # a minibatch of several whose gradients are added up
            return
        self._step = step
        self._interval.tick(step, now)
        if step > self.warmup_steps:
            self._clock.tick(step, now)
        if step % trainer.log_every_n_steps == 0:  # type: ignore[attr-defined]
            loss = torch.as_tensor(self._loss / self._n_losses)
            scalars = {
                "train/loss": float(trainer.strategy.reduce(loss)),  # mean over the processes
                "train/lr": pl_module.lr_at(step - 1),  # type: ignore[operator]
            }
            if self._interval.rate:  # not after a first group, which compiles
                scalars["train/steps_per_s"] = self._interval.rate
            for logger in trainer.loggers:
                logger.log_metrics(scalars, step=step)
            self._loss, self._n_losses = 0.0, 0
            self._interval.reset()

    def state_dict(self) -> dict[str, Any]:
        return {"n_losses": self._n_losses}

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        loss = torch.as_tensor(self._loss, device=trainer.strategy.root_device)
        everyones = trainer.strategy.all_gather(loss).view(trainer.world_size)
        checkpoint["callbacks"][self.state_key]["losses"] = everyones

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._loss = state_dict["losses"]
        self._n_losses = state_dict["n_losses"]

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._clock.pause()
        self._interval.pause()


class _Stopwatch:
    """Steps and seconds between ticks, pauses left out."""

    def __init__(self) -> None:
        self._last: tuple[int, float] | None = None
        self.reset()

    def reset(self) -> None:
        self._steps, self._seconds = 0, 0.0

    def pause(self) -> None:
        self._last = None

    def tick(self, step: int, now: float) -> None:
        if self._last is not None:
            self._steps += step - self._last[0]
            self._seconds += now - self._last[1]
        self._last = step, now

    @property
    def rate(self) -> float:
        return self._steps / self._seconds if self._seconds else 0.0

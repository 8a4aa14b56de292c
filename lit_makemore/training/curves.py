"""The curves of every training run: loss, learning rate, speed."""

from time import perf_counter
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import RichProgressBar, TQDMProgressBar
from torch import Tensor

from lit_makemore.training.groups import AtUpdates


class TrainingCurves(AtUpdates):
    """Writes every log_every_n_steps updates, to every logger:

        train/loss         mean minibatch loss since the last entry
        train/lr           learning rate of the last update
        train/steps_per_s  updates per second since the last entry, without validation

    Lightning's progress bars, and callbacks that monitor it, get train/loss by self.log. Loggers do
    not: it would take a tenth of a small network's step for each key.

    `steps_per_s` are those of the whole run.
    """

    def __init__(self) -> None:
        self._loss: Tensor | float = 0.0  # sum over the minibatches since the last entry
        self._n_losses = self._step = 0
        self._last: float | None = None  # when that update was made; None after a validation
        self._steps, self._seconds = 0, 0.0  # of the run, without start-up and validation
        self._entry = 0, 0.0  # the same up to the last entry

    @property
    def steps_per_s(self) -> float:
        return self._steps / self._seconds if self._seconds else 0.0

    def due(self, step: int) -> float:
        return step + self._every - step % self._every if self._every else float("inf")

    def setup(self, trainer: Any, pl_module: pl.LightningModule, stage: str) -> None:
        self._every = trainer.log_every_n_steps

    def on_train_start(self, trainer: Any, pl_module: pl.LightningModule) -> None:
        self._batches, self._step = trainer.fit_loop.total_batch_idx + 1, trainer.global_step
        if isinstance(self._loss, Tensor):  # from a checkpoint: one sum for each process
            as_many = len(self._loss) == trainer.world_size
            self._loss = self._loss[trainer.global_rank] if as_many else self._loss.mean()
        bars = (TQDMProgressBar, RichProgressBar)
        self._logs = isinstance(trainer.progress_bar_callback, bars) or any(
            getattr(one, "monitor", None) == "train/loss" for one in trainer.callbacks
        )

    def on_train_batch_end(
        self, trainer: Any, pl_module: pl.LightningModule, outputs: Any, *args: Any
    ) -> None:
        batches = trainer.fit_loop.total_batch_idx + 1 - self._batches  # one, or those of a group
        if "loss" in outputs:
            # Lightning divides the loss of a minibatch by the minibatches of an update.
            self._loss = self._loss + outputs["loss"] * (batches * trainer.accumulate_grad_batches)
        self._batches += batches
        self._n_losses += batches
        step, now = trainer.global_step, perf_counter()
        if step == self._step:  # gradients are still being added up
            return
        if self._last is not None:
            self._steps += step - self._step
            self._seconds += now - self._last
        self._step, self._last = step, now
        if self._every and step % self._every == 0:
            mean = trainer.strategy.reduce(torch.as_tensor(self._loss / self._n_losses))
            scalars = {"train/loss": float(mean)}  # over the processes
            for group in trainer.optimizers[0].param_groups[:1]:  # none without an optimizer
                scalars["train/lr"] = group["lr"]
            if self._steps > self._entry[0]:  # not after the first group
                steps, seconds = self._steps - self._entry[0], self._seconds - self._entry[1]
                scalars["train/steps_per_s"] = steps / seconds
            for logger in trainer.loggers:
                logger.log_metrics(scalars, step=step)
            if self._logs:
                pl_module.log("train/loss", scalars["train/loss"], prog_bar=True, logger=False)
            self._loss, self._n_losses, self._entry = 0.0, 0, (self._steps, self._seconds)

    def on_save_checkpoint(self, trainer: Any, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        loss = torch.as_tensor(self._loss, device=trainer.strategy.root_device)
        losses = trainer.strategy.all_gather(loss).view(trainer.world_size)
        kept = {"n_losses": self._n_losses, "losses": losses}
        checkpoint["callbacks"][self.state_key] = kept

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._loss, self._n_losses = state_dict["losses"], state_dict["n_losses"]

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._last = None

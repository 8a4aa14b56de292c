"""Groups: many updates in one batch of the Trainer (Keras calls it steps_per_execution).

What the Trainer does between two updates takes longer than a native update. It does that once a
group. Validations, logs, checkpoints and monitors still come after the update that they are due at:
a group ends there.
"""

from collections.abc import Callable
from math import inf
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch import callbacks
from lightning.pytorch.utilities.model_helpers import is_overridden
from torch import Tensor

from lit_makemore.training import lightning_internals
from lit_makemore.training.loaders import MinibatchLoader

LARGEST = 1000  # minibatches of a group; bounds how long a signal or the progress line waits
HOOKS = (
    "on_train_batch_start",
    "on_train_batch_end",
    "on_before_backward",
    "on_after_backward",
    "on_before_optimizer_step",
    "on_before_zero_grad",
)
"""What Lightning calls at every update, of callbacks and of modules."""
# Of Lightning's callbacks with such a hook, those that lose nothing by a group. A subclass is
# somebody's own, and may count.
BARS = (callbacks.RichProgressBar, callbacks.TQDMProgressBar)
THEIRS = (callbacks.ModelCheckpoint, callbacks.Timer, *BARS)


class AtUpdates(pl.Callback):
    """A callback that acts at some updates, between which there may be groups.

    Its class says when by a method `due`. One that inherits that may act at every update.
    """

    alone = False
    """Whether it must see the minibatch of an update that is due, and so the update by itself."""

    def due(self, step: int) -> float:
        """The number of the first update after number `step` at which it acts; inf for none."""
        return inf


def needs_every_update(callback: pl.Callback) -> bool:
    """Whether a callback must see every single update, and so excludes groups."""
    if not vars(callback).keys().isdisjoint(HOOKS):  # somebody has replaced it in this object
        return True
    if isinstance(callback, AtUpdates):
        return "due" not in vars(type(callback))
    if isinstance(callback, callbacks.LearningRateFinder):  # its trial sets a rate each update
        return True
    if type(callback) in THEIRS:
        return lightning_internals.save_interval(callback) == 1
    return any(is_overridden(hook, callback, parent=pl.Callback) for hook in HOOKS)


def next_size(trainer: Any) -> int:
    """Minibatches from here to the next update after which something is due."""
    step, position = trainer.global_step, trainer.fit_loop.epoch_loop.batch_progress.current.ready
    gaps = [LARGEST]
    for callback in trainer.callbacks:
        if isinstance(callback, AtUpdates) and (due := callback.due(step)) < inf:
            gaps.append(max(int(due) - step - callback.alone, 1))
        elif every := lightning_internals.save_interval(callback):
            gaps.append(every - step % every)
    if trainer.log_every_n_steps:
        gaps.append(trainer.log_every_n_steps - step % trainer.log_every_n_steps)
    if isinstance(trainer.val_check_batch, int):
        counts_per_pass = trainer.check_val_every_n_epoch is not None
        done = position if counts_per_pass else step
        gaps.append(trainer.val_check_batch - done % trainer.val_check_batch)
    if trainer.max_steps > 0:
        gaps.append(trainer.max_steps - step)
    return int(min(*gaps, trainer.num_training_batches - position))


class Groups:
    """Lets the Trainer of a fit take groups, until `stays` is false: the loader stacks minibatches.

    `update` makes one for each of G of them: windows (G, B, T) and targets (G, B) or (G, B, V) to
    the sum of the G losses, a scalar in float64.
    """

    def __init__(
        self,
        trainer: pl.Trainer,
        loader: MinibatchLoader,
        update: Callable[..., Tensor],
        stays: Callable[[], bool],
    ) -> None:
        self._trainer, self._loader, self._update, self._stays = trainer, loader, update, stays
        self._loader.group = self._next
        self._undo = lightning_internals.replace_updates(trainer, self._run)

    def close(self) -> None:
        """Single minibatches and Lightning's own updates again."""
        self._loader.group = None
        self._undo()

    def _next(self) -> int:
        if self._stays():
            return next_size(self._trainer)
        self.close()
        return 1

    def _run(self, batch: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
        x, y = batch
        if x.ndim == 2:  # an ordinary minibatch
            x, y = x[None], y[None]
        with torch.no_grad():
            loss = self._update(x, y) / len(x)
        lightning_internals.count_updates(self._trainer, len(x))
        return {"loss": loss}

    def show(self, module: pl.LightningModule, outputs: Any, batch: Any) -> None:
        """Lightning's progress bars count batches: they are told how many there were."""
        bar: Any = self._trainer.progress_bar_callback
        if self._loader.group and type(bar) in BARS:
            last = self._trainer.fit_loop.epoch_loop.batch_idx
            bar.on_train_batch_end(self._trainer, module, outputs, batch, last)

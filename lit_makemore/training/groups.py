"""How many minibatches an engine may take at once.

The Trainer does its own work once per group, and not once per update. Validations, logs,
checkpoints and monitors still happen after the update that they are due at: a group ends there.
"""

from collections.abc import Iterator
from math import inf

import lightning.pytorch as pl

from lit_makemore.training.lightning_internals import save_interval
from lit_makemore.training.schedules import until_due

LARGEST = 1000  # minibatches of a group; bounds how long a signal or the progress line waits


class AtUpdates(pl.Callback):
    """A callback that acts at some updates. Those between them may be one group.

    A subclass says when it acts by a method `due` of its own. One that inherits `due` may act at
    every update, for all this program knows; then updates are made one by one.
    """

    alone = False
    """Whether it must see the minibatch of an update that is due, and so the update by itself."""

    def due(self, step: int) -> float:
        """The number of the first update after number `step` at which it acts; inf for none."""
        return inf


def group_size(trainer: pl.Trainer) -> int:
    """Minibatches from here to the next update after which something is due."""
    step, position = trainer.global_step, trainer.fit_loop.epoch_loop.batch_progress.current.ready
    gaps = [n - step % n for n in _intervals(trainer)]
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if isinstance(callback, AtUpdates) and (due := callback.due(step)) < inf:
            gaps.append(max(int(due) - step - callback.alone, 1))
        # a probed update is a group of its own
        if interval := getattr(callback, "probe_interval", 0):
            gaps.append(max(until_due(step, interval) - 1, 1))
    if isinstance(trainer.val_check_batch, int):
        counts_per_pass = trainer.check_val_every_n_epoch is not None
        done = position if counts_per_pass else step
        gaps.append(trainer.val_check_batch - done % trainer.val_check_batch)
    if trainer.max_steps > 0:
        gaps.append(trainer.max_steps - step)
    gaps.append(int(min(trainer.num_training_batches - position, LARGEST)))
    return min(gaps)


def _intervals(trainer: pl.Trainer) -> Iterator[int]:
    yield LARGEST
    if trainer.log_every_n_steps:  # type: ignore[attr-defined]
        yield trainer.log_every_n_steps  # type: ignore[attr-defined]
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if every := getattr(callback, "every_n_steps", 0) or save_interval(callback):
            yield every

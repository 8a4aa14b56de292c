"""What this project needs of Lightning and cannot have through its public interface.

One function for each need, with the reason. tests/training/test_lightning_internals.py fails when
Lightning renames what a function reaches for.
"""

import lightning.pytorch as pl
from lightning.pytorch.callbacks import ModelCheckpoint


def validation_follows(trainer: pl.Trainer) -> bool:
    """Whether a validation comes between this update and the next one.

    To be asked in on_train_batch_end. Lightning decides it after that hook, in a private method,
    from the interval, the limits, the clock and `should_stop`. A checkpoint that is saved before a
    validation that is due would miss it after a resume.
    """
    loop = trainer.fit_loop
    return bool(loop.epoch_loop._should_check_val_fx(loop._data_fetcher))  # type: ignore[arg-type]


def validate_now(trainer: pl.Trainer) -> None:
    """Runs a validation inside a fit, as the training loop does.

    Lightning validates at multiples of an interval only. `trainer.validate` would end the fit.
    """
    trainer.validating = True
    trainer.fit_loop.epoch_loop.val_loop.run()
    trainer.training = True


def count_updates(trainer: pl.Trainer, n: int) -> None:
    """Counts one step of the training loop as n minibatches and n updates.

    A group of minibatches is one batch to the loop, which counts batches. `global_step`,
    validations, `max_steps` and checkpoints follow these counters.
    """
    loop = trainer.fit_loop.epoch_loop
    for progress in (loop.batch_progress.total, loop.batch_progress.current):
        for stage in ("ready", "started", "processed", "completed"):
            setattr(progress, stage, getattr(progress, stage) + n - 1)  # the loop itself adds 1
    # The loop takes a group for one of the many batches that it expects.
    if loop.batch_progress.current.ready >= trainer.num_training_batches:
        loop.batch_progress.is_last_batch = True
    updates = loop.manual_optimization.optim_step_progress
    for progress in (updates.total, updates.current):
        progress.ready += n
        progress.completed += n
    loop._batches_that_stepped += n - 1


def detects_anomaly(trainer: pl.Trainer) -> bool:
    """Whether --trainer.detect_anomaly is on; the Trainer has no public attribute for it."""
    return bool(trainer._detect_anomaly)


def save_interval(callback: pl.Callback) -> int:
    """Updates between two saves of a ModelCheckpoint; 0 if it saves by other events."""
    if not isinstance(callback, ModelCheckpoint):
        return 0
    return int(callback._every_n_train_steps)


def leave_signals_alone(trainer: pl.Trainer) -> None:
    """Keeps a Trainer from setting a handler of SIGTERM while its loops run.

    Inside that handler it asks the other processes, where they may wait for each other for ever,
    and ends those that it has started.
    """
    trainer._signal_connector.register_signal_handlers = lambda: None  # type: ignore[method-assign]

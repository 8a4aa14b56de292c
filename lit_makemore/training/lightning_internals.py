"""What this project needs of Lightning and cannot have through its public interface.

tests/training/test_lightning_internals.py fails when Lightning renames what a function reaches for.
"""

import atexit
from collections.abc import Callable
from typing import Any

import lightning.pytorch as pl
from lightning.fabric.utilities.distributed import _destroy_dist_connection
from lightning.pytorch.callbacks import ModelCheckpoint


def validation_follows(trainer: pl.Trainer) -> bool:
    """Whether a validation comes between this update and the next one, in on_train_batch_end.

    Lightning decides it later. A run resumed from a checkpoint saved in between would miss it.
    """
    loop = trainer.fit_loop
    return bool(loop.epoch_loop._should_check_val_fx(loop._data_fetcher))  # type: ignore[arg-type]


def validate_now(trainer: pl.Trainer) -> None:
    """Runs a validation inside a fit, which `trainer.validate` would end."""
    trainer.validating = True
    trainer.fit_loop.epoch_loop.val_loop.run()
    trainer.training = True


def replace_updates(
    trainer: pl.Trainer, run: Callable[[Any], dict[str, Any]]
) -> Callable[[], None]:
    """Lets `run` make the updates of a batch and give their outputs, as Lightning's automatic
    optimization would. The function that is returned undoes it."""
    loop: Any = trainer.fit_loop.epoch_loop.automatic_optimization
    loop.run = lambda optimizer, batch_idx, kwargs: run(kwargs["batch"])
    return lambda: vars(loop).pop("run", None)


def count_updates(trainer: pl.Trainer, n: int) -> None:
    """Counts one step of the training loop as n minibatches and n updates: `global_step`,
    validations, `max_steps` and checkpoints follow these counters."""
    loop = trainer.fit_loop.epoch_loop
    for progress in (loop.batch_progress.total, loop.batch_progress.current):
        for stage in ("ready", "started", "processed", "completed"):
            setattr(progress, stage, getattr(progress, stage) + n - 1)  # the loop itself adds 1
    # The loop takes a group for one of the many batches that it expects.
    if loop.batch_progress.current.ready >= trainer.num_training_batches:
        loop.batch_progress.is_last_batch = True
    made = loop.automatic_optimization.optim_progress.optimizer
    step, zero_grad = made.step, made.zero_grad
    for tracker in (step.total, step.current, zero_grad.total, zero_grad.current):
        for stage in vars(tracker):
            setattr(tracker, stage, getattr(tracker, stage) + n)
    loop._batches_that_stepped += n - 1


def is_compiled(module: Any) -> bool:
    """Whether torch has compiled it or a part of it. The Trainer takes it out of its wrapper."""
    parts = (vars(part).get("_compiled_call_impl") for part in module.modules())
    return getattr(module, "_compiler_ctx", None) is not None or any(parts)


def detects_anomaly(trainer: pl.Trainer) -> bool:
    """Whether --trainer.detect_anomaly is on; the Trainer has no public attribute for it."""
    return bool(trainer._detect_anomaly)


def save_interval(callback: pl.Callback) -> int:
    """Updates between two looks of a ModelCheckpoint; 0 if it saves by other events than these."""
    if not isinstance(callback, ModelCheckpoint):
        return 0
    return 1 if callback._train_time_interval is not None else callback._every_n_train_steps


def leave_signals_alone(trainer: pl.Trainer) -> None:
    """Keeps a Trainer from setting its handler of SIGTERM, which asks the other processes: they
    may wait for each other for ever."""
    trainer._signal_connector.register_signal_handlers = lambda: None  # type: ignore[method-assign]


def wait_for_nobody_at_exit() -> None:
    """Lets a process that failed end although others are connected with it: at its exit Lightning
    closes a connection by NCCL, which waits for them, and they may wait for this one."""
    atexit.unregister(_destroy_dist_connection)

"""Which options of a fit make no sense or exclude each other: tables of (condition, message).

docs/beyond.md has the same as a table. engine.py says what the native step needs, and
commands/options.py what only the command line knows.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import lightning.pytorch as pl

Row = tuple[Any, str]
"""A condition that must not hold, and the line that says so and what to do."""

MANUAL = (
    "--model.engine manual needs --model.optimizer sgd, --data.targets sampled, no dropout, "
    "one process, no accumulated gradients, and precision 32-true or 64-true; it has"
)


def refuse(rows: Iterable[Row]) -> None:
    """Goes through a table.

    Raises:
        ValueError: with the message of the first row whose condition holds.
    """
    for holds, message in rows:
        if holds:
            raise ValueError(message)


def model_rows(o: Any) -> Iterator[Row]:
    """The options of LitMLP by themselves."""
    yield not o.lr > 0, f"--model.lr must be positive, not {o.lr}"
    yield not o.lr_gamma > 0, f"--model.lr_gamma must be positive, not {o.lr_gamma}"
    yield o.weight_decay < 0, f"--model.weight_decay must be 0 or positive, not {o.weight_decay}"
    share = not 0 <= o.warmup < 1
    yield share, f"--model.warmup is a share of the run in [0, 1), not {o.warmup}"
    decays = o.weight_decay and o.optimizer == "sgd"
    yield decays, "--model.weight_decay needs --model.optimizer adamw; set it to 0 for sgd"
    yield (
        o.known_words and not o.count_mixture,
        "--model.known_words true is a part of a mixture: it needs --model.count_mixture true",
    )
    manual = o.engine == "manual"
    yield manual and o.optimizer != "sgd", f"{MANUAL} --model.optimizer {o.optimizer}"
    yield manual and o.dropout, f"{MANUAL} --model.dropout {o.dropout}"


def fit_rows(o: Any, trainer: pl.Trainer, data: Any) -> Iterator[Row]:
    """The options of LitMLP beside the Trainer and the data module of a fit."""
    processes, clip = trainer.world_size, trainer.gradient_clip_val
    mixed = o.count_mixture
    yield mixed and processes > 1, "--model.count_mixture true works on one process only"
    yield (
        mixed and (trainer.limit_val_batches == 0 or not hasattr(type(data), "mixture")),
        "--model.count_mixture true chooses its weight on the val words: it needs "
        "NamesDataModule, and --trainer.limit_val_batches other than 0",
    )
    yield (
        o.schedule == "one_cycle" and trainer.max_steps < 1,
        "a one-cycle schedule needs the length of the run: --trainer.max_steps N",
    )
    rows = getattr(data, "batch_size", 2 * processes) // processes
    yield (
        rows < 2 and (o.batch_norm or o.logits_batch_norm),
        "Batch Normalization needs at least 2 examples on each process; raise --data.batch_size",
    )
    yield (clip or 0) < 0, f"--trainer.gradient_clip_val must not be negative, but is {clip}"
    manual, precision = o.engine == "manual", trainer.precision
    exact = precision in ("32-true", "64-true")
    yield manual and not exact, f"{MANUAL} --trainer.precision {precision}"
    yield manual and processes > 1, f"{MANUAL} {processes} processes"
    n, targets = trainer.accumulate_grad_batches, getattr(data, "targets", "sampled")
    yield manual and n > 1, f"{MANUAL} --trainer.accumulate_grad_batches {n}"
    yield manual and targets != "sampled", f"{MANUAL} --data.targets {targets}"


def apple_rows(trainer: pl.Trainer) -> Iterator[Row]:
    """A fit on an Apple GPU."""
    yield (
        trainer.precision in ("64-true", "64"),
        "an Apple GPU has no float64: --trainer.precision 64-true needs --trainer.accelerator cpu",
    )


def check_model(options: Any) -> None:
    """Raises as `refuse` does."""
    refuse(model_rows(options))


def check_fit(options: Any, trainer: pl.Trainer, data: Any) -> None:
    """Raises as `refuse` does."""
    refuse(fit_rows(options, trainer, data))


def check_apple(trainer: pl.Trainer) -> None:
    """Raises as `refuse` does."""
    refuse(apple_rows(trainer))

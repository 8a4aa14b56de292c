"""Which options of a fit make no sense or exclude each other: tables of (condition, message).

docs/beyond.md has the same as a table. engine.py says what the native step needs, and
commands/options.py what only the command line knows.
"""

from collections.abc import Callable, Iterable
from types import SimpleNamespace
from typing import Any

import lightning.pytorch as pl

Row = tuple[Callable[[Any], Any], str]
"""A condition that must not hold, and the line that says so, with {o.NAME} for a fact."""

MANUAL = (
    "--model.backward manual needs --model.optimizer sgd, --data.targets sampled, no dropout, "
    "one process, no accumulated gradients, and precision 32-true or 64-true; it has "
)

# The facts are the options of LitMLP.
MODEL: list[Row] = [
    (lambda o: not o.lr > 0, "--model.lr must be positive, not {o.lr}"),
    (lambda o: not o.lr_gamma > 0, "--model.lr_gamma must be positive, not {o.lr_gamma}"),
    (
        lambda o: o.weight_decay < 0,
        "--model.weight_decay must be 0 or positive, not {o.weight_decay}",
    ),
    (
        lambda o: not 0 <= o.warmup < 1,
        "--model.warmup is a share of the run in [0, 1), not {o.warmup}",
    ),
    (
        lambda o: o.weight_decay and o.optimizer == "sgd",
        "--model.weight_decay needs --model.optimizer adamw; set it to 0 for sgd",
    ),
    (
        lambda o: o.known_words and not o.count_mixture,
        "--model.known_words true is a part of a mixture: it needs --model.count_mixture true",
    ),
    (
        lambda o: o.backward == "manual" and o.optimizer != "sgd",
        MANUAL + "--model.optimizer {o.optimizer}",
    ),
    (lambda o: o.backward == "manual" and o.dropout, MANUAL + "--model.dropout {o.dropout}"),
]

# The facts are model, trainer, and what their run has: processes, rows of each in a minibatch,
# targets, counts (whether its data has them).
FIT: list[Row] = [
    (
        lambda o: o.model.count_mixture and o.processes > 1,
        "--model.count_mixture true works on one process only",
    ),
    (
        lambda o: o.model.count_mixture and (o.trainer.limit_val_batches == 0 or not o.counts),
        "--model.count_mixture true chooses its weight on the val words: it needs "
        "NamesDataModule, and --trainer.limit_val_batches other than 0",
    ),
    (
        lambda o: o.model.schedule == "one_cycle" and o.trainer.max_steps < 1,
        "a one-cycle schedule needs the length of the run: --trainer.max_steps N",
    ),
    (
        lambda o: o.rows < 2 and (o.model.batch_norm or o.model.logits_batch_norm),
        "Batch Normalization needs at least 2 examples on each process; raise --data.batch_size",
    ),
    (
        lambda o: (o.trainer.gradient_clip_val or 0) < 0,
        "--trainer.gradient_clip_val must not be negative, but is {o.trainer.gradient_clip_val}",
    ),
    (
        lambda o: (
            o.model.backward == "manual" and o.trainer.precision not in ("32-true", "64-true")
        ),
        MANUAL + "--trainer.precision {o.trainer.precision}",
    ),
    (
        lambda o: o.model.backward == "manual" and o.processes > 1,
        MANUAL + "{o.processes} processes",
    ),
    (
        lambda o: o.model.backward == "manual" and o.trainer.accumulate_grad_batches > 1,
        MANUAL + "--trainer.accumulate_grad_batches {o.trainer.accumulate_grad_batches}",
    ),
    (
        lambda o: o.model.backward == "manual" and o.targets != "sampled",
        MANUAL + "--data.targets {o.targets}",
    ),
]

# On an Apple GPU; the facts are the Trainer.
APPLE: list[Row] = [
    (
        lambda o: o.precision in ("64-true", "64"),
        "an Apple GPU has no float64: --trainer.precision 64-true needs --trainer.accelerator cpu",
    ),
]


def refuse(rows: Iterable[Row], facts: Any) -> None:
    """Goes through a table.

    Raises:
        ValueError: with the message of the first row whose condition holds.
    """
    for holds, message in rows:
        if holds(facts):
            raise ValueError(message.format(o=facts))


def check_model(options: Any) -> None:
    """Checks the options of LitMLP by themselves; raises as `refuse` does."""
    refuse(MODEL, options)


def check_fit(options: Any, trainer: pl.Trainer, data: Any) -> None:
    """Checks the options of LitMLP against the Trainer and the data module of a fit.

    Raises as `refuse` does.
    """
    processes = trainer.world_size
    facts = SimpleNamespace(
        model=options,
        trainer=trainer,
        processes=processes,
        rows=getattr(data, "batch_size", 2 * processes) // processes,
        targets=getattr(data, "targets", "sampled"),
        counts=hasattr(type(data), "best_counts"),
    )
    refuse(FIT, facts)


def check_apple(trainer: pl.Trainer) -> None:
    """Checks the Trainer of a run on an Apple GPU; raises as `refuse` does."""
    refuse(APPLE, trainer)

"""Which options of a fit make no sense or exclude each other: tables of (condition, message).

engine.py says what the native step needs, commands/options.py what only the command line knows.
"""

from collections.abc import Iterable, Mapping
from numbers import Integral, Real
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import lightning.pytorch as pl

Row = tuple[Any, str]
"""A condition that must not hold, and the line that says so and what to do."""

MANUAL = (
    "--model.engine manual needs --data.targets sampled, no dropout, one process, and precision "
    "32-true or 64-true; it has"
)


def refuse(rows: Iterable[Row]) -> None:
    """Raises a ValueError with the message of the first row whose condition holds."""
    for holds, message in rows:
        if holds:
            raise ValueError(message)


def check_types(function: Any, values: Mapping[str, Any], group: str) -> None:
    """Refuses arguments that are not of the types in a signature, as the command line does."""
    plain: dict[Any, Any] = {int: Integral, float: Real, str: (str, Path), bool: bool}
    for name, hint in get_type_hints(function).items():
        if name not in values or hint not in plain and get_origin(hint) is not Literal:
            continue
        value, choices = values[name], get_args(hint)
        right = value in choices if choices else isinstance(value, plain[hint])
        if not right or (hint is int and isinstance(value, bool)):
            what = " or ".join(choices) or f"of type {hint.__name__}"
            raise ValueError(f"--{group}.{name} must be {what}, not {value!r}")


def check_model(o: Any, constructor: Any) -> None:
    """Refuses options of LitMLP by themselves."""
    check_types(constructor, o, "model")
    manual, share = o.engine == "manual", 0 <= o.warmup < 1
    decays = o.weight_decay and o.optimizer == "sgd"
    refuse([
        (not o.lr > 0, f"--model.lr must be positive, not {o.lr}"),
        (not o.lr_gamma > 0, f"--model.lr_gamma must be positive, not {o.lr_gamma}"),
        (o.weight_decay < 0, f"--model.weight_decay must be 0 or positive, not {o.weight_decay}"),
        (not share, f"--model.warmup is a share of the run in [0, 1), not {o.warmup}"),
        (decays, "--model.weight_decay needs --model.optimizer adamw; set it to 0 for sgd"),
        (manual and o.dropout, f"{MANUAL} --model.dropout {o.dropout}"),
    ])  # fmt: skip


def check_fit(module: Any, trainer: pl.Trainer, data: Any) -> None:
    """Refuses options of LitMLP beside its network, the Trainer and the data module of a fit."""
    o, made = module.hparams, module.model.architecture
    changed = next((name for name in made if o[name] != made[name]), None)
    processes, clip, precision = trainer.world_size, trainer.gradient_clip_val, trainer.precision
    mixed, manual = o.count_mixture, o.engine == "manual"
    no_val = hasattr(data, "numbers") and not len(data.numbers[1])
    without_val = no_val or trainer.limit_val_batches == 0 or not hasattr(type(data), "best_counts")
    endless = o.schedule == "one_cycle" and trainer.max_steps < 1
    examples = getattr(data, "batch_size", 2 * processes) // processes
    alone = examples < 2 and (o.norm == "batch" or o.logits_batch_norm)
    norm = "Batch Normalization needs at least 2 examples on each process"
    inexact = precision not in ("32-true", "64-true")
    targets = getattr(data, "targets", "sampled")
    chooses = "--model.count_mixture true chooses its weight on the val words: it needs"
    refuse([
        (changed, f"the network has its {changed}; make another LitMLP instead"),
        (mixed and processes > 1, "--model.count_mixture true works on one process only"),
        (mixed and without_val, f"{chooses} NamesDataModule and --trainer.limit_val_batches"),
        (no_val and trainer.limit_val_batches, "without val words: --trainer.limit_val_batches 0"),
        (endless, "a one-cycle schedule needs the length of the run: --trainer.max_steps N"),
        (alone, f"{norm}; raise --data.batch_size"),
        ((clip or 0) < 0, f"--trainer.gradient_clip_val must not be negative, but is {clip}"),
        (manual and inexact, f"{MANUAL} --trainer.precision {precision}"),
        (manual and processes > 1, f"{MANUAL} {processes} processes"),
        (manual and targets != "sampled", f"{MANUAL} --data.targets {targets}"),
    ])  # fmt: skip


def check_data(model: Any, data: Any) -> None:
    """Refuses a network that was made for other characters or windows than those of the data."""
    others = model.vocab.chars != getattr(data, "chars", model.vocab.chars)
    size, theirs = model.block_size, getattr(data, "block_size", model.block_size)
    refuse([
        (others, "the network has other characters than the word list; make it with data.chars"),
        (size != theirs, f"the network sees {size} characters, --data.block_size is {theirs}"),
    ])  # fmt: skip

"""Which options exclude each other. Such a combination raises a ValueError of one line.

docs/beyond.md has the same as a table. engine.py says what the native step needs.
"""

from typing import Any

import lightning.pytorch as pl

MANUAL = (
    "--model.engine manual needs --model.optimizer sgd, --data.targets sampled, no dropout, "
    "one process, no accumulated gradients, and precision 32-true or 64-true"
)


def check_model(options: Any) -> None:
    """Checks the options of LitMLP by themselves.

    Raises:
        ValueError: a value makes no sense, or two exclude each other; the line says what to do.
    """
    if not options.lr > 0:
        raise ValueError(f"--model.lr must be positive, not {options.lr}")
    if not options.lr_gamma > 0:
        raise ValueError(f"--model.lr_gamma must be positive, not {options.lr_gamma}")
    if options.weight_decay < 0:
        raise ValueError(f"--model.weight_decay must be 0 or positive, not {options.weight_decay}")
    if not 0 <= options.warmup < 1:
        raise ValueError(f"--model.warmup is a share of the run in [0, 1), not {options.warmup}")
    if options.weight_decay and options.optimizer == "sgd":
        raise ValueError("--model.weight_decay needs --model.optimizer adamw; set it to 0 for sgd")
    if options.known_words and not options.count_mixture:
        raise ValueError(
            "--model.known_words true is a part of a mixture: it needs --model.count_mixture true"
        )
    if options.engine == "manual" and options.optimizer != "sgd":
        raise ValueError(f"{MANUAL}; it has --model.optimizer {options.optimizer}")
    if options.engine == "manual" and options.dropout:
        raise ValueError(f"{MANUAL}; it has --model.dropout {options.dropout}")


def check_fit(options: Any, trainer: pl.Trainer, data: Any) -> None:
    """Checks the options of LitMLP against the Trainer and the data module of a fit.

    Raises:
        ValueError: they exclude each other; the line says what to do.
    """
    processes = trainer.world_size
    if options.count_mixture:
        if processes > 1:
            raise ValueError("--model.count_mixture true works on one process only")
        if trainer.limit_val_batches == 0 or not hasattr(type(data), "mixture"):
            raise ValueError(
                "--model.count_mixture true chooses its weight on the val words: it needs "
                "NamesDataModule, and --trainer.limit_val_batches other than 0"
            )
    if options.schedule == "one_cycle" and trainer.max_steps < 1:
        raise ValueError("a one-cycle schedule needs the length of the run: --trainer.max_steps N")
    rows = getattr(data, "batch_size", 2 * processes) // processes
    if rows < 2 and (options.batch_norm or options.logits_batch_norm):
        raise ValueError(
            "Batch Normalization needs at least 2 examples on each process; raise --data.batch_size"
        )
    if trainer.gradient_clip_val is not None and trainer.gradient_clip_val < 0:
        raise ValueError(
            f"--trainer.gradient_clip_val must not be negative, but is {trainer.gradient_clip_val}"
        )
    if options.engine == "manual":
        if trainer.precision not in ("32-true", "64-true"):
            raise ValueError(f"{MANUAL}; it has --trainer.precision {trainer.precision}")
        if processes > 1:
            raise ValueError(f"{MANUAL}; it has {processes} processes")
        if trainer.accumulate_grad_batches > 1:
            raise ValueError(
                f"{MANUAL}; it has --trainer.accumulate_grad_batches "
                f"{trainer.accumulate_grad_batches}"
            )
        if (targets := getattr(data, "targets", "sampled")) != "sampled":
            raise ValueError(f"{MANUAL}; it has --data.targets {targets}")


def check_apple(trainer: pl.Trainer) -> None:
    """Checks the Trainer of a run on an Apple GPU.

    Raises:
        ValueError: it wants float64.
    """
    if trainer.precision in ("64-true", "64"):
        raise ValueError(
            "an Apple GPU has no float64: --trainer.precision 64-true needs "
            "--trainer.accelerator cpu"
        )

"""What the options of a command may be, beyond the types that the parser checks."""

import os
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import timedelta
from inspect import signature
from typing import Any, get_args

import lightning.pytorch as pl
from lightning.pytorch.strategies.launchers.multiprocessing import _MultiProcessingLauncher

INTERVALS = (
    "val_check_interval",
    "check_val_every_n_epoch",
    "log_every_n_steps",
    "accumulate_grad_batches",
)


def check(command: str, config: Any, groups: Mapping[str, type]) -> None:
    """Looks at the options of a command before anything is built from them.

    Args:
        command: fit, validate, test or predict.
        config: the parsed options.
        groups: what is built from the options of a group, by the group's name.

    Raises:
        ValueError: the options make no run; says what to do.
    """
    for group, kind in groups.items():
        _check_group(group, config[group], kind)
    if command != "fit" and not config.ckpt_path:
        raise ValueError(f"{command} needs a trained network: --ckpt_path FILE")
    trainer = config.trainer
    limits = trainer.max_steps, trainer.max_epochs, trainer.max_time, trainer.fast_dev_run
    if command == "fit" and limits in [(-1, -1, None, False), (-1, None, None, False)]:
        raise ValueError("this run would never end; set --trainer.max_steps")
    for name in INTERVALS:
        value = trainer.get(name)
        if isinstance(value, int) and value < 1:
            raise ValueError(f"--trainer.{name} must be at least 1, not {value}")
    if config.threads is not None and config.threads < 1:
        raise ValueError(f"--threads must be at least 1, not {config.threads}")


def _check_group(group: str, options: Any, kind: type) -> None:
    """The parser takes null for what must not be, and anything for a dataclass."""
    if not hasattr(options, "items"):
        raise ValueError(f"{group} is a mapping of its options, not {options!r}")
    for name, parameter in signature(kind).parameters.items():
        if name not in options:
            continue
        value, of = options[name], parameter.annotation
        if value is None and type(None) not in get_args(of):
            raise ValueError(f"--{group}.{name} must not be null")
        if is_dataclass(of) and not hasattr(value, "items"):
            known = ", ".join(field.name for field in fields(of))
            raise ValueError(f"--{group}.{name} is a mapping of {known}, not {value!r}")


def check_trainer(trainer: pl.Trainer, options: Any) -> None:
    """Looks at what became of the Trainer's options.

    Raises:
        ValueError: on this machine, or started in this way, they do not work; says what does.
    """
    half = str(options.precision).startswith("16")
    if half and not str(trainer.precision).startswith("16"):
        raise ValueError(
            f"--trainer.precision {options.precision} needs a GPU; "
            "on this CPU use bf16-mixed or 32-true"
        )
    if isinstance(trainer.strategy.launcher, _MultiProcessingLauncher):
        raise ValueError(
            f"--trainer.strategy {options.strategy} cannot start this program's processes; use ddp"
        )
    if trainer.world_size > 1 and isinstance(options.val_check_interval, str | dict | timedelta):
        raise ValueError(
            "several processes validate by updates, since their clocks differ; "
            "make --trainer.val_check_interval a number"
        )
    # The store through which processes find each other outlives a restart, with the addresses of
    # those that failed: https://github.com/pytorch/pytorch/issues/135712
    kept = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
    restarts = int(os.environ.get("TORCHELASTIC_MAX_RESTARTS", 0))
    if kept and restarts > 0 and trainer.world_size > 1:
        raise ValueError(
            "with --max-restarts torchrun needs TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1 in its "
            "environment, and --standalone or --rdzv-backend c10d; else restarted processes may "
            "look for each other where the failed ones were"
        )

"""Checks of the options, beyond the types that the parser checks."""

import os
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import timedelta
from inspect import signature
from typing import Any, get_args

import lightning.pytorch as pl

LARGEST = 2**63  # torch counts with 64 bits
INTERVALS = (
    "val_check_interval",
    "check_val_every_n_epoch",
    "log_every_n_steps",
    "accumulate_grad_batches",
)
FLAGS_REFUSED = {  # of the Trainer, with the reason
    "barebones": "it measures the Trainer alone; leave it out",
    "model_registry": "checkpoints lie in the run folder and are not uploaded",
}
CALLBACKS_REFUSED = {  # they change what a run is; with what to use instead
    "BatchSizeFinder": "choose --data.batch_size yourself: it changes the result",
    "GradientAccumulationScheduler": "use --trainer.accumulate_grad_batches, which stays the same",
    "StochasticWeightAveraging": "use lightning.pytorch.callbacks.EMAWeightAveraging",
    "BackboneFinetuning": "this network has no backbone",
    "ModelPruning": "a pruned network cannot be loaded from its checkpoint",
}


def check(command: str, config: Any, groups: Mapping[str, type]) -> None:
    """Checks the options of a command before anything is built from them.

    Args:
        command: fit, validate, test or predict.
        config: the parsed options.
        groups: the class that is built from a group of options, by the name of the group.

    Raises:
        ValueError: the options make no run; the line says what to do.
    """
    for name, value in vars(config.as_flat()).items():
        if isinstance(value, int) and abs(value) >= LARGEST:
            raise ValueError(f"--{name} {value} does not fit into 64 bits")
    for group, kind in groups.items():
        _check_group(group, config[group], kind)
    if command != "fit" and not config.ckpt_path:
        raise ValueError(f"{command} needs a trained network: --ckpt_path FILE")
    trainer = config.trainer
    if command == "fit" and not _ends(trainer):
        raise ValueError(
            "nothing says when to stop: use --config configs/quickstart.yaml or set "
            "--trainer.max_steps"
        )
    for name in INTERVALS:
        value = trainer.get(name)
        if isinstance(value, int) and value < 1:
            raise ValueError(f"--trainer.{name} must be at least 1, not {value}")
    for name, why in FLAGS_REFUSED.items():
        if trainer.get(name):
            raise ValueError(f"--trainer.{name} does not work here; {why}")
    if trainer.check_val_every_n_epoch is not None and isinstance(trainer.val_check_interval, int):
        raise ValueError(
            "--trainer.check_val_every_n_epoch counts passes, and needs a share of a pass: "
            f"--trainer.val_check_interval 1.0, not {trainer.val_check_interval}; leave it out to "
            f"validate every {trainer.val_check_interval} updates"
        )
    for callback in listed(trainer.callbacks):
        if (name := str(callback.get("class_path")).rpartition(".")[2]) in CALLBACKS_REFUSED:
            raise ValueError(f"{name} does not work here; {CALLBACKS_REFUSED[name]}")
        if callback.get("init_args", {}).get("update_starting_at_epoch") is not None:
            raise ValueError(
                f"{name} cannot count passes: a run that is resumed inside one would have an "
                "average more; use update_starting_at_step"
            )
    if command == "fit" and trainer.sync_batchnorm and config.model.bn_variance != "torch":
        raise ValueError(
            "--trainer.sync_batchnorm true normalises by torch's variance; "
            f"it needs --model.bn_variance torch, not {config.model.bn_variance}"
        )


def listed(value: Any) -> list[Any]:
    """What an option holds that takes nothing, one or a list."""
    return [] if value is None else value if isinstance(value, list) else [value]


def _ends(trainer: Any) -> bool:
    """Whether an option says when a fit stops."""
    by_epochs = trainer.max_epochs not in (-1, None)
    by_steps = trainer.max_steps != -1
    return by_epochs or by_steps or bool(trainer.max_time) or bool(trainer.fast_dev_run)


def _check_group(group: str, options: Any, kind: type) -> None:
    """The parser accepts null where no null is possible, and anything for a dataclass."""
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


def validation_interval(trainer: Any) -> int | float | None:
    """--trainer.val_check_interval, which counts updates, in batches, which Lightning counts."""
    interval = trainer.val_check_interval
    if not isinstance(interval, int):
        return interval
    if trainer.max_steps > 0:
        interval = min(interval, trainer.max_steps)
    return interval * trainer.accumulate_grad_batches


def check_trainer(command: str, trainer: pl.Trainer, options: Any) -> None:
    """Checks what became of the Trainer's options.

    Raises:
        ValueError: they do not work on this machine, or started in this way; the line says what
            does.
    """
    half = str(options.precision).startswith("16")
    if half and not str(trainer.precision).startswith("16"):
        raise ValueError(
            f"--trainer.precision {options.precision} needs a GPU; "
            "on this CPU use bf16-mixed or 32-true"
        )
    if any(method in str(options.strategy) for method in ("spawn", "fork", "notebook")):
        raise ValueError(
            f"--trainer.strategy {options.strategy} cannot start this program's processes; use ddp"
        )
    on_cpu = trainer.strategy.root_device.type == "cpu"
    if command == "fit" and options.sync_batchnorm and on_cpu:
        raise ValueError(
            "--trainer.sync_batchnorm true needs GPUs; on CPUs every process normalises "
            "by its own share of the minibatch"
        )
    if trainer.world_size > 1 and isinstance(options.val_check_interval, str | dict | timedelta):
        raise ValueError(
            "the clocks of several processes differ: --trainer.val_check_interval must be a number "
            "of updates"
        )
    # torchrun keeps a store through which processes find each other. It outlives a restart, with
    # the addresses of processes that failed: https://github.com/pytorch/pytorch/issues/135712
    kept = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
    restarts = int(os.environ.get("TORCHELASTIC_MAX_RESTARTS", 0))
    if kept and restarts > 0 and trainer.world_size > 1:
        raise ValueError(
            "with --max-restarts torchrun needs TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1 in its "
            "environment, and --standalone or --rdzv-backend c10d; otherwise restarted processes "
            "may look for each other at the addresses of those that failed"
        )

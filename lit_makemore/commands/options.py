"""What only the command line knows of options that make no run: tables as in option_conflicts.py.

What LitMLP must know too, in a script without a command line, is in training/option_conflicts.py.
"""

import os
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import timedelta
from inspect import signature
from types import SimpleNamespace
from typing import Any, get_args

import lightning.pytorch as pl

from lit_makemore.training.option_conflicts import Row, refuse

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

# Before anything is built. The facts are command, config, and trainer: the options of its group.
CONFIG: list[Row] = [
    (
        lambda o: o.command != "fit" and not o.config.ckpt_path,
        "{o.command} needs a trained network: --ckpt_path FILE",
    ),
    (
        lambda o: o.command == "fit" and not _ends(o.trainer),
        "nothing says when to stop: use --config configs/quickstart.yaml or set "
        "--trainer.max_steps",
    ),
    *[
        (
            lambda o, name=name: isinstance(o.trainer.get(name), int) and o.trainer[name] < 1,
            f"--trainer.{name} must be at least 1, not {{o.trainer.{name}}}",
        )
        for name in INTERVALS
    ],
    *[
        (lambda o, name=name: o.trainer.get(name), f"--trainer.{name} does not work here; {why}")
        for name, why in FLAGS_REFUSED.items()
    ],
    (
        lambda o: (
            o.trainer.check_val_every_n_epoch is not None
            and isinstance(o.trainer.val_check_interval, int)
        ),
        "--trainer.check_val_every_n_epoch counts passes, and needs a share of a pass: "
        "--trainer.val_check_interval 1.0, not {o.trainer.val_check_interval}; leave it out to "
        "validate every {o.trainer.val_check_interval} updates",
    ),
    (
        lambda o: (
            o.command == "fit"
            and o.trainer.sync_batchnorm
            and o.config.model.bn_variance != "torch"
        ),
        "--trainer.sync_batchnorm true normalises by torch's variance; "
        "it needs --model.bn_variance torch, not {o.config.model.bn_variance}",
    ),
]

# One of the user's callbacks. The facts are its name and its arguments.
CALLBACK: list[Row] = [
    *[
        (lambda o, name=name: o.name == name, f"{name} does not work here; {instead}")
        for name, instead in CALLBACKS_REFUSED.items()
    ],
    (
        lambda o: o.arguments.get("update_starting_at_epoch") is not None,
        "{o.name} cannot count passes: a run that is resumed inside one would have an average "
        "more; use update_starting_at_step",
    ),
]

# What became of the Trainer's options, on this machine. The facts are command, trainer, options.
TRAINER: list[Row] = [
    (
        lambda o: (
            str(o.options.precision).startswith("16")
            and not str(o.trainer.precision).startswith("16")
        ),
        "--trainer.precision {o.options.precision} needs a GPU; "
        "on this CPU use bf16-mixed or 32-true",
    ),
    (
        lambda o: any(how in str(o.options.strategy) for how in ("spawn", "fork", "notebook")),
        "--trainer.strategy {o.options.strategy} cannot start this program's processes; use ddp",
    ),
    (
        lambda o: (
            o.command == "fit"
            and o.options.sync_batchnorm
            and o.trainer.strategy.root_device.type == "cpu"
        ),
        "--trainer.sync_batchnorm true needs GPUs; on CPUs every process normalises "
        "by its own share of the minibatch",
    ),
    (
        lambda o: (
            o.trainer.world_size > 1
            and isinstance(o.options.val_check_interval, str | dict | timedelta)
        ),
        "the clocks of several processes differ: --trainer.val_check_interval must be a number "
        "of updates",
    ),
    (
        # torchrun keeps a store through which processes find each other. It outlives a restart,
        # with the addresses of processes that failed: pytorch/pytorch#135712
        lambda o: (
            os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
            and int(os.environ.get("TORCHELASTIC_MAX_RESTARTS", 0)) > 0
            and o.trainer.world_size > 1
        ),
        "with --max-restarts torchrun needs TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1 in its "
        "environment, and --standalone or --rdzv-backend c10d; otherwise restarted processes "
        "may look for each other at the addresses of those that failed",
    ),
]


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
    refuse(CONFIG, SimpleNamespace(command=command, config=config, trainer=config.trainer))
    for callback in listed(config.trainer.callbacks):
        name = str(callback.get("class_path")).rpartition(".")[2]
        refuse(CALLBACK, SimpleNamespace(name=name, arguments=callback.get("init_args", {})))


def check_trainer(command: str, trainer: pl.Trainer, options: Any) -> None:
    """Checks what became of the Trainer's options.

    Raises:
        ValueError: they do not work on this machine, or started in this way; the line says what
            does.
    """
    refuse(TRAINER, SimpleNamespace(command=command, trainer=trainer, options=options))


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

"""What only the command line knows of options that make no run: tables of (condition, message).

What LitMLP must know too, in a script without a command line, is in training/option_conflicts.py.
"""

import os
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from datetime import timedelta
from inspect import signature
from typing import Any, get_args

import lightning.pytorch as pl

from lit_makemore.training.option_conflicts import Row

# of the Trainer, where a command makes no run
NOTHING_KEPT = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
LARGEST = 2**63  # torch counts with 64 bits
INTERVALS = (
    "val_check_interval check_val_every_n_epoch log_every_n_steps accumulate_grad_batches".split()
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


def config_rows(command: str, config: Any) -> Iterator[Row]:
    """The options of a command, before anything is built from them."""
    trainer, fit = config.trainer, command == "fit"
    for name, value in vars(config.as_flat()).items():
        large = isinstance(value, int) and abs(value) >= LARGEST
        yield large, f"--{name} {value} does not fit into 64 bits"
    untrained = not fit and not config.ckpt_path
    yield untrained, f"{command} needs a trained network: --ckpt_path FILE"
    ends = trainer.max_epochs not in (-1, None) or trainer.max_steps != -1 or trainer.max_time
    remedy = "set --trainer.max_steps, or use --config configs/quickstart.yaml"
    why = f"nothing says when to stop: {remedy}"
    if config.get("resume") not in (None, "false"):
        why = f"--resume {config.resume} finds no run by itself; name it: --resume runs/NAME"
    yield fit and not (ends or trainer.fast_dev_run), why
    known = {"val", "steps"} <= config.published.keys() <= {"train", "val", "test", "steps"}
    takes = "published takes the losses train, val, test, and steps"
    yield config.published and not known, f"{takes}, not {config.published}"
    for name in INTERVALS:
        value = trainer.get(name)
        small = isinstance(value, int) and value < 1
        yield small, f"--trainer.{name} must be at least 1, not {value}"
    for name, why in FLAGS_REFUSED.items():
        yield trainer.get(name), f"--trainer.{name} does not work here; {why}"
    every = trainer.val_check_interval
    yield (
        trainer.check_val_every_n_epoch is not None and isinstance(every, int),
        "--trainer.check_val_every_n_epoch counts passes, and needs a share of a pass: "
        f"--trainer.val_check_interval 1.0, not {every}; without it {every} counts updates",
    )
    for callback in listed(trainer.callbacks):
        name = str(callback.get("class_path")).rpartition(".")[2]
        instead = CALLBACKS_REFUSED.get(name)
        yield instead, f"{name} does not work here; {instead}"
        by_passes = callback.get("init_args", {}).get("update_starting_at_epoch") is not None
        exact = "cannot count passes exactly in a resumed run; use update_starting_at_step"
        yield by_passes, f"{name} {exact}"
    variance = config.model.get("bn_variance", "torch")  # a config.yaml that was cut lacks it
    other = variance if variance != "torch" else None
    synced = "--trainer.sync_batchnorm true needs --model.bn_variance torch"
    yield fit and trainer.sync_batchnorm and other, f"{synced}, not {other}"


def trainer_rows(command: str, trainer: pl.Trainer, options: Any) -> Iterator[Row]:
    """What became of the Trainer's options on this machine, and started in this way."""
    precision, how, several = str(options.precision), options.strategy, trainer.world_size > 1
    became_other = precision.startswith("16") and not str(trainer.precision).startswith("16")
    needs_gpu = f"--trainer.precision {precision} needs a GPU"
    yield became_other, f"{needs_gpu}; on this CPU use bf16-mixed or 32-true"
    starts = any(method in str(how) for method in ("spawn", "fork", "notebook"))
    yield starts, f"--trainer.strategy {how} cannot start this program's processes; use ddp"
    synced = options.sync_batchnorm and trainer.strategy.root_device.type == "cpu"
    synced = synced and command == "fit"
    yield synced, "--trainer.sync_batchnorm true needs GPUs; leave it out on CPUs"
    by_clock = several and isinstance(options.val_check_interval, str | dict | timedelta)
    must = "--trainer.val_check_interval must be a number of updates"
    yield by_clock, f"with several processes {must}: their clocks differ"
    # torchrun keeps a store through which processes find each other. It outlives a restart, with
    # the addresses of processes that failed: https://github.com/pytorch/pytorch/issues/135712
    kept = several and os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
    yield (
        kept and int(os.environ.get("TORCHELASTIC_MAX_RESTARTS", 0)) > 0,
        "with --max-restarts torchrun needs TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1 in its "
        "environment, and --standalone or --rdzv-backend c10d",
    )


def group_rows(group: str, options: Any, kind: type) -> Iterator[Row]:
    """Options of a class: the parser accepts null anywhere, and anything for a dataclass."""
    yield not hasattr(options, "items"), f"{group} is a mapping of its options, not {options!r}"
    for name, parameter in signature(kind).parameters.items():
        if name not in options:
            continue
        value, of = options[name], parameter.annotation
        null = value is None and type(None) not in get_args(of)
        yield null, f"--{group}.{name} must not be null"
        if is_dataclass(of):
            known = ", ".join(field.name for field in fields(of))
            no_mapping = not hasattr(value, "items")
            yield no_mapping, f"--{group}.{name} is a mapping of {known}, not {value!r}"


def listed(value: Any) -> list[Any]:
    """What an option holds that takes nothing, one or a list."""
    return [] if value is None else value if isinstance(value, list) else [value]


def validation_interval(trainer: Any) -> int | float | None:
    """--trainer.val_check_interval, which counts updates, in batches, which Lightning counts."""
    interval, most = trainer.val_check_interval, trainer.max_steps
    if not isinstance(interval, int):
        return interval
    return (min(interval, most) if most > 0 else interval) * trainer.accumulate_grad_batches

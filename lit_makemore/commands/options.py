"""Options that make no run, beside those of training/option_conflicts.py: (condition, message)."""

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
COUNTS = ("val_check_interval", "check_val_every_n_epoch", "log_every_n_steps")
REFUSED = {  # flags of the Trainer, and parts that change what a run is
    "TorchCheckpointIO": "a run writes its checkpoints itself, so that a kill leaves each whole",
    "--trainer.barebones": "it measures the Trainer alone; leave it out",
    "--trainer.model_registry": "checkpoints lie in the run folder and are not uploaded",
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
    needed = f"{command} needs a trained network: --ckpt_path FILE"
    yield not fit and not config.ckpt_path, needed
    ends = trainer.max_epochs not in (-1, None) or trainer.max_steps != -1 or trainer.max_time
    why = "nothing says when to stop: set --trainer.max_steps, as configs/quickstart.yaml does"
    if config.get("resume") not in (None, "false"):
        why = f"--resume {config.resume} finds no run by itself; name it: --resume runs/NAME"
    yield fit and not (ends or trainer.fast_dev_run), why
    known = {"val", "steps"} <= config.published.keys() <= {"train", "val", "test", "steps"}
    takes = f"published takes the losses train, val, test, and steps, not {config.published}"
    yield config.published and not known, takes
    for name in (*COUNTS, "accumulate_grad_batches"):
        small = isinstance(trainer[name], int) and trainer[name] < 1
        yield small, f"--trainer.{name} must be at least 1, not {trainer[name]}"
    every, passes = trainer.val_check_interval, trainer.check_val_every_n_epoch is not None
    why = "--trainer.check_val_every_n_epoch counts passes, and needs a share of a pass: "
    why += f"--trainer.val_check_interval 1.0, not {every}; without it {every} counts updates"
    yield passes and isinstance(every, int), why
    classes = {
        str(one.get("class_path")).rpartition(".")[2]: one.get("init_args", {})
        for one in listed(trainer.callbacks) + listed(trainer.plugins)
        if not isinstance(one, str)
    }
    for name, why in REFUSED.items():
        given = name in classes or config.get(name.removeprefix("--"))
        yield given, f"{name} does not work here; {why}"
    exact = "cannot count passes exactly in a resumed run; use update_starting_at_step"
    for name, arguments in classes.items():
        yield arguments.get("update_starting_at_epoch") is not None, f"{name} {exact}"
    variance = config.model.get("bn_variance", "torch")  # a config.yaml that was cut lacks it
    synced = "--trainer.sync_batchnorm true needs --model.bn_variance torch"
    yield fit and trainer.sync_batchnorm and variance != "torch", f"{synced}, not {variance}"


def trainer_rows(command: str, trainer: pl.Trainer, options: Any) -> Iterator[Row]:
    """What became of the Trainer's options on this machine, and started in this way."""
    precision, how, several = str(options.precision), options.strategy, trainer.world_size > 1
    became_other = precision.startswith("16") and not str(trainer.precision).startswith("16")
    remedy = "needs a GPU; on this CPU use bf16-mixed or 32-true"
    yield became_other, f"--trainer.precision {precision} {remedy}"
    starts = any(method in str(how) for method in ("spawn", "fork", "notebook"))
    yield starts, f"--trainer.strategy {how} cannot start this program's processes; use ddp"
    synced = options.sync_batchnorm and command == "fit"
    on_cpu = trainer.strategy.root_device.type == "cpu"
    yield synced and on_cpu, "--trainer.sync_batchnorm true needs GPUs; leave it out on CPUs"
    by_clock = several and isinstance(options.val_check_interval, str | dict | timedelta)
    must = "--trainer.val_check_interval must be a number of updates: their clocks differ"
    yield by_clock, f"with several processes {must}"
    # torchrun's store outlives a restart, with the addresses of processes that failed:
    # https://github.com/pytorch/pytorch/issues/135712
    kept = several and os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
    needs = "needs TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1 in its environment, and --standalone or"
    restarts = kept and int(os.environ.get("TORCHELASTIC_MAX_RESTARTS", 0))
    yield restarts, f"with --max-restarts torchrun {needs} --rdzv-backend c10d"


def group_rows(group: str, options: Any, kind: type) -> Iterator[Row]:
    """Options of a class: the parser accepts null anywhere, and anything for a dataclass."""
    yield not hasattr(options, "items"), f"{group} is a mapping of its options, not {options!r}"
    given = {name: of for name, of in signature(kind).parameters.items() if name in options}
    for name, parameter in given.items():
        option, value, of = f"--{group}.{name}", options[name], parameter.annotation
        yield value is None and type(None) not in get_args(of), f"{option} must not be null"
        if is_dataclass(of):
            known = ", ".join(field.name for field in fields(of))
            yield not hasattr(value, "items"), f"{option} is a mapping of {known}, not {value!r}"


def listed(value: Any) -> list[Any]:
    """What an option holds that takes nothing, one or a list."""
    return [] if value is None else value if isinstance(value, list) else [value]

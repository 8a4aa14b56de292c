"""Which engine steps a run: Lightning's automatic optimization, or the compiled step in groups."""

import os
import shutil
from typing import Literal

import lightning.pytorch as pl
from lightning.pytorch.callbacks import LearningRateFinder, ModelCheckpoint, Timer
from lightning.pytorch.utilities.model_helpers import is_overridden

from lit_makemore.training.lightning_internals import detects_anomaly

EngineName = Literal["ordinary", "fused"]

PAYS_FROM = 20_000  # updates that save as much time as the compilation costs; measured on deep.yaml
BATCH_HOOKS = (
    "on_train_batch_start",
    "on_train_batch_end",
    "on_before_backward",
    "on_after_backward",
    "on_before_optimizer_step",
    "on_before_zero_grad",
)
PRECISIONS = ("32-true", "64-true", "bf16-mixed")  # that the compiled step knows


def choose(
    trainer: pl.Trainer,
    fused: bool | Literal["auto"],
    backward: str,
    before: EngineName | None = None,
) -> tuple[EngineName, str]:
    """The engine of a run, and a line that says why.

    Args:
        trainer: the Trainer, set up.
        fused: whether the compiled step is wanted; "auto" takes it where it is possible and pays.
        backward: "autograd" or "manual".
        before: the engine that trained the run so far, if it is resumed; "auto" keeps it.

    Raises:
        ValueError: the compiled step is wanted and is not possible.
    """
    found = obstacles(trainer, backward)
    if fused is True and found:
        raise ValueError(
            f"--model.fused true does not work with {found[0]}; use --model.fused auto"
        )
    if fused is False:
        return "ordinary", "running without compilation (--model.fused false)"
    if found:
        return "ordinary", f"running without compilation (not possible with {found[0]})"
    if fused == "auto" and before is not None:
        return before, f"resuming with the same kind of step as before: {before}"
    if fused == "auto" and 0 < trainer.max_steps < PAYS_FROM:
        return "ordinary", (
            f"running without compilation (pays from {PAYS_FROM:,} steps; "
            "force it with --model.fused true)"
        )
    return "fused", "running with one compiled graph for forward, backward and update"


def obstacles(trainer: pl.Trainer, backward: str) -> list[str]:
    """The options and facts of a run that exclude the compiled step."""
    by_norm = trainer.gradient_clip_algorithm in (None, "norm")
    facts = {
        "several processes": trainer.world_size > 1,
        # the step adds up its losses in float64
        "an Apple GPU": trainer.strategy.root_device.type == "mps",
        "--model.backward manual": backward == "manual",
        f"--trainer.precision {trainer.precision}": trainer.precision not in PRECISIONS,
        "--trainer.accumulate_grad_batches": trainer.accumulate_grad_batches > 1,
        "--trainer.gradient_clip_algorithm value": trainer.gradient_clip_val and not by_norm,
        "--trainer.detect_anomaly": detects_anomaly(trainer),
        **{type(one).__name__: needs_every_batch(one) for one in trainer.callbacks},  # type: ignore[attr-defined]
        "a machine without a C++ compiler (install g++)": compiler() is None,
    }
    return [name for name, is_so in facts.items() if is_so]


def needs_every_batch(callback: pl.Callback) -> bool:
    """Whether a callback must see every single minibatch, and so excludes groups.

    A callback that may be called once a group has the class attribute takes_groups = True.
    """
    if getattr(callback, "takes_groups", False) or isinstance(callback, ModelCheckpoint | Timer):
        return False
    acts = any(is_overridden(hook, callback, parent=pl.Callback) for hook in BATCH_HOOKS)
    return acts or isinstance(callback, LearningRateFinder)  # its trial sets a rate each update


def compiler() -> str | None:
    """The C++ compiler that torch builds a graph for the CPU with, or None."""
    named = os.environ.get("CXX")
    found = (shutil.which(name) for name in ([named] if named else ["g++", "clang++"]))
    return next((path for path in found if path), None)

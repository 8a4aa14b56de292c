"""Which engine steps a run, and whether it may take minibatches in groups."""

from dataclasses import dataclass
from typing import Literal

import lightning.pytorch as pl
from lightning.pytorch.callbacks import LearningRateFinder, ModelCheckpoint, Timer
from lightning.pytorch.utilities.model_helpers import is_overridden

from lit_makemore.training.groups import AtUpdates
from lit_makemore.training.lightning_internals import detects_anomaly
from lit_makemore.training.native import build

EngineName = Literal["eager", "native"]

BATCH_HOOKS = (
    "on_train_batch_start",
    "on_train_batch_end",
    "on_before_backward",
    "on_after_backward",
    "on_before_optimizer_step",
    "on_before_zero_grad",
)


@dataclass(frozen=True)
class Choice:
    """How a run is stepped.

    Args:
        engine: eager or native.
        groups: whether it takes groups of minibatches; otherwise the Trainer's automatic
            optimization takes one after the other.
        why: a line for the user.
    """

    engine: EngineName
    groups: bool
    why: str


def choose(
    trainer: pl.Trainer,
    engine: Literal["auto", "eager", "native"],
    backward: str,
    before: str | None = None,
) -> Choice:
    """The engine of a run. "auto" takes the native one where it is possible.

    Args:
        trainer: the Trainer, set up.
        engine: what is asked for.
        backward: "autograd" or "manual".
        before: the engine that trained the run so far, if it is resumed; "auto" keeps it.

    Raises:
        ValueError: the native engine is asked for and is not possible.
    """
    alone = not_in_groups(trainer)
    how = "eager steps" + (f", one by one ({alone[0]})" if alone else "")
    if engine == "eager" or (engine == "auto" and before == "eager"):
        return Choice("eager", not alone, how)
    found = [*alone, *not_native(trainer, backward)]
    if not found:
        try:
            build.library()
        except build.BuildError as error:
            found = [str(error)]
    if not found:
        return Choice("native", True, "native steps (C++)")
    if engine == "native":
        raise ValueError(f"--model.engine native is not possible: {found[0]}; or leave it out")
    return Choice("eager", not alone, how if alone else f"{how} (no native ones: {found[0]})")


def not_in_groups(trainer: pl.Trainer) -> list[str]:
    """What keeps a run from taking several minibatches at once."""
    facts = {
        "several processes": trainer.world_size > 1,
        # nothing was measured on one
        "not on a CPU": trainer.strategy.root_device.type != "cpu",
        f"--trainer.precision {trainer.precision}": trainer.precision == "16-mixed",
        "--trainer.accumulate_grad_batches": trainer.accumulate_grad_batches > 1,
        **{type(one).__name__: needs_every_batch(one) for one in trainer.callbacks},  # type: ignore[attr-defined]
    }
    return [name for name, is_so in facts.items() if is_so]


def not_native(trainer: pl.Trainer, backward: str) -> list[str]:
    """What the native step cannot do and the eager one can."""
    by_norm = trainer.gradient_clip_algorithm in (None, "norm")
    facts = {
        f"--trainer.precision {trainer.precision}": trainer.precision != "32-true",
        "--model.backward manual": backward == "manual",
        "--trainer.gradient_clip_algorithm value": trainer.gradient_clip_val and not by_norm,
        "--trainer.detect_anomaly": detects_anomaly(trainer),
    }
    return [name for name, is_so in facts.items() if is_so]


def needs_every_batch(callback: pl.Callback) -> bool:
    """Whether a callback must see every single minibatch, and so excludes groups.

    A callback that may be called once a group has the class attribute takes_groups = True.
    """
    if isinstance(callback, AtUpdates):
        return "due" not in vars(type(callback))
    if getattr(callback, "takes_groups", False) or isinstance(callback, ModelCheckpoint | Timer):
        return False
    acts = any(is_overridden(hook, callback, parent=pl.Callback) for hook in BATCH_HOOKS)
    return acts or isinstance(callback, LearningRateFinder)  # its trial sets a rate each update

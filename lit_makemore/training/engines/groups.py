"""Two ways to step: which one a run takes, and how the Trainer counts the fused one.

The fused step takes minibatches by the hundred, so that the Trainer's work between two of its steps
is shared by all of them. Everything that happens every so many updates must still happen then:
groups end there, and the Trainer's progress counts minibatches, not groups.
"""

from collections.abc import Iterator
from typing import Any

from lit_makemore.diagnostics.probe import until_due
from lit_makemore.training.engines.compiled import compiler

LARGEST = 1000  # minibatches of a group; bounds how long a signal, or the progress line, waits
EARNS = 20_000  # updates that save as much time as compiling costs, measured on deep.yaml
PRECISIONS = ("32-true", "64-true", "bf16-mixed")  # that the fused step knows


def obstacles(trainer: Any, manual_backward: bool) -> list[str]:
    """What there is in a run that the fused step does not go with.

    Args:
        trainer: the Trainer, set up.
        manual_backward: whether the gradients are those derived by hand.
    """
    there = {
        "several processes": trainer.world_size > 1,
        "--model.backward manual": manual_backward,
        f"--trainer.precision {trainer.precision}": trainer.precision not in PRECISIONS,
        "--trainer.accumulate_grad_batches": trainer.accumulate_grad_batches > 1,
        "--trainer.gradient_clip_val (--model.clip_norm is the same)": trainer.gradient_clip_val,
        "--trainer.detect_anomaly": trainer._detect_anomaly,
        "a machine without a C++ compiler (install g++)": compiler() is None,
    }
    return [name for name, is_there in there.items() if is_there]


def decide(trainer: Any, fused: bool | str, manual_backward: bool) -> tuple[bool, str]:
    """Whether a run takes the fused step, and a line that says so.

    Args:
        trainer, manual_backward: see obstacles.
        fused: True, False or "auto", which takes it where it can and where it saves time.

    Raises:
        ValueError: it was asked for and cannot be had.
    """
    found = obstacles(trainer, manual_backward)
    if fused is True and found:
        raise ValueError(f"--model.fused true does not go with {found[0]}; leave it auto")
    if fused is False:
        return False, "ordinary steps: as asked for"
    if found:
        return False, f"ordinary steps: the fused one does not go with {found[0]}"
    if fused == "auto" and 0 < trainer.max_steps < EARNS:
        return False, f"ordinary steps: fewer than {EARNS:,} do not earn the compilation back"
    return True, "fused steps: forward, backward and update as one compiled graph"


def group_size(trainer: Any) -> int:
    """Minibatches from here to the next update after which something is due."""
    loop = trainer.fit_loop.epoch_loop
    step, position = trainer.global_step, loop.batch_progress.current.ready
    gaps = [n - step % n for n in _intervals(trainer)]
    for callback in trainer.callbacks:  # an observed update is a group of its own
        if every := getattr(callback, "observes_every", 0):
            gaps.append(max(until_due(step, every) - 1, 1))
    if isinstance(trainer.val_check_batch, int):
        n, per_pass = trainer.val_check_batch, trainer.check_val_every_n_epoch is not None
        gaps.append(n - (position if per_pass else step) % n)
    if trainer.max_steps > 0:
        gaps.append(trainer.max_steps - step)
    gaps.append(int(min(trainer.num_training_batches - position, LARGEST)))
    return min(gaps)


def _intervals(trainer: Any) -> Iterator[int]:
    yield LARGEST
    if trainer.log_every_n_steps:
        yield trainer.log_every_n_steps
    for callback in trainer.callbacks:
        for name in ("every_n_steps", "_every_n_train_steps"):  # ours, and ModelCheckpoint's
            if every := getattr(callback, name, 0):
                yield every


def count(trainer: Any, n: int) -> None:
    """Tells the Trainer that this one step of its loop was n minibatches and n updates."""
    loop = trainer.fit_loop.epoch_loop
    for progress in (loop.batch_progress.total, loop.batch_progress.current):
        for stage in ("ready", "started", "processed", "completed"):
            setattr(progress, stage, getattr(progress, stage) + n - 1)  # the loop itself adds 1
    updates = loop.manual_optimization.optim_step_progress
    for progress in (updates.total, updates.current):
        progress.ready += n
        progress.completed += n
    loop._batches_that_stepped += n - 1

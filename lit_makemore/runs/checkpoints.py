"""The two checkpoints of a run: when they are saved, and how a file is written."""

from math import inf, isnan
from pathlib import Path
from time import monotonic
from typing import Any

import lightning.pytorch as pl
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch.callbacks import Checkpoint

from lit_makemore import model
from lit_makemore.diagnostics.figures import nonfinite_tensors
from lit_makemore.runs.folder import RunFolder
from lit_makemore.runs.stopping import StopOnSignal
from lit_makemore.training.lightning_internals import validate_now, validation_follows


class Checkpoints(StopOnSignal, Checkpoint):
    """Keeps best.ckpt, the lowest validation loss so far, and last.ckpt, the latest state.

    last.ckpt is saved at the start, at multiples of `every` updates if the one before is `seconds`
    old, at the end, and before a signal stops the run; after a validation, if one follows. The last
    weights are always validated; a network that is not finite is not saved. Lightning calls a
    Checkpoint after all other callbacks.
    """

    def __init__(self, folder: RunFolder, every: int, seconds: float, max_requeues: int) -> None:
        super().__init__(max_requeues)
        self._folder, self._every, self._seconds = folder, every, seconds
        self.best_step: int | None = None  # the updates that best.ckpt has made, if it is there
        self._lowest = inf
        self._validated = 0  # the update after which the last validation was
        self._saved, self._when = -1, -inf  # the update of last.ckpt, the time of it

    def due(self, step: int) -> float:
        return (step // self._every + 1) * self._every

    def on_train_batch_end(self, trainer: pl.Trainer, *args: Any) -> None:
        if not validation_follows(trainer):
            self._save_if_due(trainer)
        super().on_train_batch_end(trainer, *args)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.state.fn != "fit" or trainer.sanity_checking:
            return
        self._validated = trainer.global_step
        loss = float(trainer.callback_metrics.get("val/loss", inf))
        if _agreed(trainer, self.best_step is None or loss < self._lowest) and _is_finite(trainer):
            self.best_step, self._lowest = trainer.global_step, inf if isnan(loss) else loss
            trainer.save_checkpoint(self._folder.checkpoints / "best.ckpt")
        self._save_if_due(trainer)
        super().on_validation_end(trainer, pl_module)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self._validated != trainer.global_step and trainer.enable_validation:
            validate_now(trainer)
            self._saved = -1  # it has chosen a mixture anew
        self.save(trainer)

    def _save_if_due(self, trainer: pl.Trainer) -> None:
        old = monotonic() - self._when >= self._seconds
        if trainer.global_step % self._every == 0 and _agreed(trainer, old):
            self.save(trainer)

    def save(self, trainer: pl.Trainer) -> Path:
        """Saves last.ckpt, unless that has been done; returns its path."""
        path, step = self._folder.checkpoints / "last.ckpt", trainer.global_step
        if _agreed(trainer, self._saved != step or not path.exists()):
            if _is_finite(trainer):
                trainer.save_checkpoint(path)
            self._saved, self._when = step, monotonic()
        return path

    def state_dict(self) -> dict[str, Any]:
        kept = {"best_step": self.best_step, "lowest": self._lowest}
        return {**kept, "validated": self._validated}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._validated = state_dict["validated"]
        if (self._folder.checkpoints / "best.ckpt").exists():
            self.best_step, self._lowest = state_dict["best_step"], state_dict["lowest"]


def _agreed(trainer: pl.Trainer, so_here: bool) -> bool:
    """Whether something is so on any process: they save together or not at all."""
    return trainer.strategy.reduce_boolean_decision(so_here, all=False)


def _is_finite(trainer: pl.Trainer) -> bool:
    return _agreed(trainer, not nonfinite_tensors(trainer.lightning_module))


class AtomicCheckpointIO(TorchCheckpointIO):
    """Names a checkpoint only when it is whole and on the disk; runs no code when loading one."""

    def save_checkpoint(self, checkpoint: Any, path: Any, storage_options: Any = None) -> None:
        model.write(checkpoint, path)

    def load_checkpoint(self, path: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
        return model.read(path)

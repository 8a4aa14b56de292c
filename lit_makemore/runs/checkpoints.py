"""The two checkpoints of a run, and how the Trainer writes them."""

from pathlib import Path
from time import monotonic
from typing import Any

import lightning.pytorch as pl
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch.callbacks import Checkpoint, ModelCheckpoint

from lit_makemore import model as checkpoint
from lit_makemore.diagnostics.figures import nonfinite_tensors
from lit_makemore.training.lightning_internals import validate_now, validation_follows


class BestCheckpoint(ModelCheckpoint):
    """best.ckpt: the weights with the lowest validation loss so far."""

    # how a checkpoint names the state of this callback; the base class lists its arguments
    state_key = "best.ckpt"  # type: ignore[assignment]
    takes_groups = True

    def __init__(self) -> None:
        super().__init__(filename="best", monitor="val/loss", enable_version_counter=False)
        self._validated = 0

    def on_train_batch_end(self, *args: Any) -> None:
        """Nothing: only a validation brings a new loss."""

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._validated = trainer.global_step
        super().on_validation_end(trainer, pl_module)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Validates the last weights too, where the interval does not divide the run."""
        if self._validated != trainer.global_step and trainer.enable_validation:
            validate_now(trainer)

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "validated": self._validated}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._validated = state_dict["validated"]
        if Path(str(self.dirpath), "best.ckpt").exists():  # else last.ckpt came here alone
            super().load_state_dict(_moved(state_dict, str(self.dirpath)))


class LastCheckpoint(Checkpoint):
    """last.ckpt: the latest state, saved at the start, on the way and at the end.

    If a validation follows the update, it is saved after the validation: otherwise a resumed run
    would skip or repeat it. A network that is not finite is not saved.

    Args:
        every_n_steps: it may be saved after multiples of it.
        seconds: it is not, if the one before is younger than that.
    """

    takes_groups = True

    def __init__(self, every_n_steps: int, seconds: float) -> None:
        self.every_n_steps, self.seconds = every_n_steps, seconds
        self.dirpath = ""
        self._saved = -1  # the update after which it was saved
        self._when = -float("inf")

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.global_step == 0:
            self.save(trainer)

    def on_train_batch_end(self, trainer: pl.Trainer, *args: Any) -> None:
        if self._is_due(trainer) and not validation_follows(trainer):
            self.save(trainer)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.state.fn == "fit" and self._is_due(trainer):
            self.save(trainer)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.save(trainer)

    def _is_due(self, trainer: pl.Trainer) -> bool:
        if trainer.global_step % self.every_n_steps:
            return False
        old_enough = monotonic() - self._when >= self.seconds
        return trainer.strategy.reduce_boolean_decision(old_enough, all=False)

    def save(self, trainer: pl.Trainer) -> Path:
        """Saves the present state, unless that has been done; returns the path of the file."""
        path = Path(self.dirpath) / "last.ckpt"
        due = self._saved != trainer.global_step or not path.exists()
        agreed = trainer.strategy.reduce_boolean_decision  # processes save together or not at all
        if agreed(due, all=False):
            if agreed(not nonfinite_tensors(trainer.lightning_module)):
                trainer.save_checkpoint(path)
            self._saved, self._when = trainer.global_step, monotonic()
        return path


class AtomicCheckpointIO(TorchCheckpointIO):
    """Names a checkpoint only when it is whole and on the disk; runs no code when loading one.

    Lightning's own writes to the system's temporary folder, which may be another file system, and
    does not wait for the disk.
    """

    def save_checkpoint(
        self, checkpoint_: dict[str, Any], path: str | Path, storage_options: Any = None
    ) -> None:
        checkpoint.write(checkpoint_, path)

    def load_checkpoint(
        self, path: str | Path, map_location: Any = None, weights_only: Any = True
    ) -> dict[str, Any]:
        return checkpoint.read(path)


def _moved(state: dict[str, Any], folder: str) -> dict[str, Any]:
    """The state of a ModelCheckpoint, with its paths in the folder where the run lies now."""

    def path(old: str) -> str:
        return str(Path(folder) / Path(old).name) if old else old

    best_k = {path(old): score for old, score in state["best_k_models"].items()}
    names = ("best_model_path", "last_model_path", "kth_best_model_path")
    paths = {name: path(state[name]) for name in names}
    return {**state, **paths, "best_k_models": best_k, "dirpath": folder}

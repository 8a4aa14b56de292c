"""The two checkpoints of a run: the best one and the last one."""

from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import ModelCheckpoint

from lit_makemore.diagnostics.verdicts import faults


class BestCheckpoint(ModelCheckpoint):
    """best.ckpt: the weights with the lowest validation loss so far."""

    # how a checkpoint names this callback's state; the base class spells out its arguments
    state_key = "best.ckpt"  # type: ignore[assignment]

    def __init__(self) -> None:
        super().__init__(filename="best", monitor="val/loss", enable_version_counter=False)
        self._validated = 0

    def on_train_batch_end(self, *args: Any) -> None:
        """Nothing: only a validation brings a new loss."""

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._validated = trainer.global_step
        super().on_validation_end(trainer, pl_module)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Validates the last weights, too, where the interval does not divide the run."""
        if self._validated != trainer.global_step and trainer.enable_validation:
            trainer.validating = True
            trainer.fit_loop.epoch_loop.val_loop.run()
            trainer.training = True

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "validated": self._validated}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._validated = state_dict["validated"]
        super().load_state_dict(_moved(state_dict, self.dirpath))


class LastCheckpoint(ModelCheckpoint):
    """last.ckpt: the latest state, saved at the start, every n updates and at the end.

    Where a validation follows the update, it is saved after that: a run that goes on from it must
    neither repeat nor miss one. A network that is not finite is not saved.

    Args:
        every_n_steps: updates between two saves.
    """

    state_key = "last.ckpt"  # type: ignore[assignment]

    def __init__(self, every_n_steps: int) -> None:
        super().__init__(
            filename="last", every_n_train_steps=every_n_steps, enable_version_counter=False
        )
        self.every_n_steps = every_n_steps

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.global_step == 0:
            self.save(trainer)

    def on_train_batch_end(self, trainer: pl.Trainer, *args: Any) -> None:
        if trainer.global_step % self.every_n_steps == 0 and not validation_follows(trainer):
            self.save(trainer)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.state.fn == "fit" and trainer.global_step % self.every_n_steps == 0:
            self.save(trainer)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Nothing: passes are no events here."""

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.save(trainer)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(_moved(state_dict, self.dirpath))

    def save(self, trainer: Any) -> Path:
        """Saves the present state, unless that has been done; returns the file's path."""
        path = Path(self.dirpath or "") / "last.ckpt"
        due = self._last_global_step_saved != trainer.global_step or not path.exists()
        agreed = trainer.strategy.reduce_boolean_decision  # processes save together or not at all
        if agreed(due, all=False):
            if agreed(not faults(trainer.lightning_module)):
                trainer.save_checkpoint(path)
            self._last_global_step_saved = trainer.global_step
        return path


def validation_follows(trainer: Any) -> bool:
    """In on_train_batch_end: whether a validation comes before the next update."""
    loop = trainer.fit_loop.epoch_loop
    return bool(loop._should_check_val_fx(trainer.fit_loop._data_fetcher))


def _moved(state: dict[str, Any], folder: Any) -> dict[str, Any]:
    """The state of a checkpoint callback, its paths in the folder where the run lies now."""

    def path(old: Any) -> Any:
        return str(Path(folder) / Path(old).name) if old else old

    best_k = {path(old): score for old, score in state["best_k_models"].items()}
    names = ("best_model_path", "last_model_path", "kth_best_model_path")
    paths = {name: path(state[name]) for name in names}
    return {**state, **paths, "best_k_models": best_k, "dirpath": folder}

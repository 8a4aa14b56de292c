"""Gives a fit its folder."""

import shutil
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import TensorBoardLogger
from torch.utils.tensorboard.summary import hparams as hparams_summaries

from lit_makemore.atomic import replacing, write_text
from lit_makemore.runs.folder import Run, create_run
from lit_makemore.runs.resume import Resumption


class RunFolder(pl.Callback):
    """Makes the run folder when a fit begins, and points logger and checkpoints there.

    Not before: by now data, network and optimizer exist, so a bad configuration leaves no folder.

    Args:
        root: where run folders lie.
        name: the folder's name, or None for the first free one that begins with stem.
        stem: see name.
        config: the configuration, written to config.yaml.
        log: whether to log for TensorBoard.
        checkpoints: the callbacks whose files go into checkpoints/.
        found: the run to go on with instead, if any.
    """

    def __init__(
        self,
        root: str,
        name: str | None,
        stem: str,
        config: str,
        log: bool,
        checkpoints: list[ModelCheckpoint],
        found: Resumption | None = None,
    ) -> None:
        self._found = found
        self._where = root, name, stem
        self._config, self._log, self._checkpoints = config, log, checkpoints
        self.run: Run | None = None  # on rank 0, once the fit has begun

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        if self._found:  # before the checkpoint callbacks get their state back
            for callback in self._checkpoints:
                callback.dirpath = str(self._found.folder / "checkpoints")

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        path = ""
        if trainer.is_global_zero:
            self.run = Run(self._found.folder) if self._found else create_run(*self._where)
            if self._found:
                self._go_on(self._found)
            write_text(self.run.path / "config.yaml", self._config)
            path = str(self.run.path)
        folder = Path(trainer.strategy.broadcast(path))
        for callback in self._checkpoints:
            callback.dirpath = str(folder / "checkpoints")
        if self._log:
            # What was logged after the checkpoint is logged again, and must not show twice.
            purge = self._found.step + bool(self._found.step) if self._found else None
            settings: dict[str, Any] = {"default_hp_metric": False, "purge_step": purge}
            logger = _Logger(folder, name="", version="", **settings)
            trainer.loggers = [*trainer.loggers, logger]

    def _go_on(self, found: Resumption) -> None:
        """What is there of the run's former end is no longer true."""
        assert self.run is not None
        for name in ("summary.json", "samples.txt"):
            (self.run.path / name).unlink(missing_ok=True)
        last = self.run.checkpoints / "last.ckpt"
        if found.path and not (last.exists() and found.path.samefile(last)):
            with replacing(last) as file:
                file.write(found.path.read_bytes())

    def on_exception(self, trainer: pl.Trainer, *args: Any) -> None:
        """What fails before there is anything to go on from leaves no folder."""
        if self.run is None or self._found or trainer.global_step:
            return
        if not any(self.run.path.rglob("*.ckpt")):
            shutil.rmtree(self.run.path, ignore_errors=True)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Enters the run in TensorBoard's HParams page, with val/loss as its metric."""
        if not self._log or not trainer.is_global_zero or trainer.global_step:
            return
        settings = {**pl_module.hparams, "batch_size": trainer.datamodule.batch_size}  # type: ignore[attr-defined]
        del settings["chars"]
        settings.update({f"init.{k}": v for k, v in settings.pop("init", {}).items()})
        plain = {
            k: v if isinstance(v, int | float | str | bool) else str(v) for k, v in settings.items()
        }
        for summary in hparams_summaries(plain, {"val/loss": None}):
            trainer.logger.experiment.file_writer.add_summary(summary)  # type: ignore[union-attr]

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: Any
    ) -> None:
        for logger in trainer.loggers:  # what a checkpoint counts as done must be in the curves
            logger.save()


class _Logger(TensorBoardLogger):
    """Without hparams.yaml: config.yaml says it all."""

    def save(self) -> None:
        if self._experiment is not None:
            self._experiment.flush()

"""What a fit reads from its run folder and writes into it, so that a resumed run ends the same."""

import csv
import logging
import shutil
from copy import deepcopy
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Any
from unittest.mock import patch

import lightning.pytorch as pl
import torch
from lightning.pytorch import callbacks
from lightning.pytorch.loggers import CSVLogger, Logger, MLFlowLogger, TensorBoardLogger
from lightning.pytorch.loggers.csv_logs import ExperimentWriter

from lit_makemore.files import replacing, write_text
from lit_makemore.runs.folder import RunFolder
from lit_makemore.runs.logger import RunLogger, settings_of

log = logging.getLogger(__name__)


class FolderCallback(pl.Callback):
    """Lets everything write into the run folder, the user's own loggers too; found is resumed."""

    def __init__(self, folder: RunFolder, config: str, found: Any, loggers: Any) -> None:
        self._folder, self._config, self._found, self._loggers = folder, config, found, loggers
        self._before = list(found.loggers) if found else []

    def setup(self, trainer: Any, pl_module: pl.LightningModule, stage: str) -> None:
        """What the user has added writes there, unless it has a place."""
        opened = str(self._folder.open()) if trainer.is_global_zero else ""
        path = self._folder.path = Path(trainer.strategy.broadcast(opened))  # on all processes
        trainer.loggers = [*trainer.loggers, *(self._made(one, path) for one in self._loggers())]
        for callback in trainer.callbacks:
            if isinstance(callback, callbacks.ModelCheckpoint):
                name, ours = Path(callback.filename or ""), self._folder.checkpoints
                callback.dirpath = callback.dirpath or str(ours)
                beside = Path(callback.dirpath).resolve() == ours.resolve()
                outside = name.is_absolute() or ".." in name.parts
                if outside or (beside and str(name) in ("best", "last")):
                    remedy = "name the folder as its dirpath, or give the ModelCheckpoint another"
                    raise ValueError(
                        f"{name}.ckpt is outside or one of every run; {remedy} filename"
                    )
                if beside:
                    callback.CHECKPOINT_NAME_LAST = "last-v1"  # ours is last.ckpt, and no link
            elif isinstance(callback, callbacks.SpikeDetection):
                callback.exclude_batches_path = callback.exclude_batches_path or str(path)
        trainer.profiler.dirpath = trainer.profiler.dirpath or path

    def _made(self, make: partial[Logger], folder: Path) -> Logger:
        """A logger of the user's, which goes on with what it wrote before a resume."""
        kind, given, more = make.func, make.keywords, dict[str, Any]()
        name = "run_id" if kind is MLFlowLogger else "version"
        if mine := [one for one in self._before if one[0] == kind.__name__][:1]:
            self._before.remove(mine[0])
            if given.get(name, "") is None:
                more[name] = mine[0][1]
        if kind is TensorBoardLogger and self._found:
            more["purge_step"] = self._found.purge_step
        if given.get("save_dir") == "":
            more["save_dir"] = folder
            if kind is MLFlowLogger and not given["tracking_uri"]:  # it refuses to use a folder
                more["tracking_uri"] = f"sqlite:///{folder.resolve()}/mlflow.db"
        return make(**more)

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """All checks have passed, so it is written into the folder from now on."""
        goes_on = self._found and self._found.step
        if trainer.is_global_zero:
            for logger in trainer.loggers:
                if isinstance(logger, CSVLogger):
                    self._keep_rows(logger)
                getattr(logger, "experiment", None)  # which begins it, or says why not
            write_text(self._folder.checkpoints.parent / "config.yaml", self._config)
        for logger in trainer.loggers:
            if isinstance(logger, RunLogger):
                logger.start(pl_module.hparams["n_layer"])
            if trainer.is_global_zero and (isinstance(logger, CSVLogger) or not goes_on):
                logger.log_hyperparams(settings_of(pl_module, trainer))

    def _keep_rows(self, logger: Any) -> None:
        """Keeps the rows before the checkpoint: Lightning would delete the file."""
        path, found = Path(logger.log_dir, ExperimentWriter.NAME_METRICS_FILE), self._found
        if not path.exists():
            return
        if not found or (found.step and ("CSVLogger", logger.version) not in found.loggers):
            raise ValueError(f"{path} has the figures of another run; choose another version")
        rows, text = csv.DictReader(path.read_text("utf-8").splitlines()), StringIO()
        table = csv.DictWriter(text, rows.fieldnames or ())
        table.writeheader()
        whole = (row for row in rows if (row.get("step") or "").isdigit())  # a kill may cut a row
        table.writerows(row for row in whole if int(row["step"]) < found.purge_step)
        write_text(path, text.getvalue())
        with patch.object(ExperimentWriter, "_check_log_dir_exists"):  # which deletes it
            logger.experiment.metrics_keys = [*table.fieldnames]

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """The checkpoint is restored, so old results may now be replaced."""
        if not trainer.is_global_zero:
            return
        path, last = self._folder.checkpoints.parent, self._folder.checkpoints / "last.ckpt"
        shutil.rmtree(path / "all_words", ignore_errors=True)
        for name in ("summary.json", "samples.txt", "failed.txt", "checkpoints/all_words.ckpt"):
            (path / name).unlink(missing_ok=True)
        if self._found and (source := self._found.path) and source.resolve() != last.resolve():
            with replacing(last) as file:
                file.write(source.read_bytes())

    def on_save_checkpoint(self, trainer: Any, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        theirs = (one for one in trainer.loggers if not isinstance(one, RunLogger))
        checkpoint["loggers"] = [(type(one).__name__, one.version) for one in theirs]
        for logger in trainer.loggers:  # the files must have every point before the checkpoint
            logger.save()


class ExactResume(pl.Callback):
    """Saves and restores the random state, which Lightning does not. Checks the training words.

    Every process has its own, or dropout would leave out the same units on all of them; one that
    was not there before begins with its seed. When training ends, a WeightAveraging replaces the
    weights by their averages; a checkpoint after that keeps both, too.
    """

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        self._strategy, self._rank = trainer.strategy, trainer.global_rank
        self._weights: dict[str, Any] = {}  # after the last pass, where averages replace them
        self._ended = False
        if stage == "fit" and self._rank:
            torch.manual_seed(torch.initial_seed() + self._rank)

    def state_dict(self) -> dict[str, Any]:
        states, device = [torch.get_rng_state()], self._strategy.root_device
        if device.type == "cuda":
            states.append(torch.cuda.get_rng_state(device))
        gather = self._strategy.all_gather  # (processes, bytes); (bytes,) where there is only one
        return {"rng": [gather(state.to(device)).cpu() for state in states], "device": device.type}

    def on_load_checkpoint(self, trainer: Any, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        data: Any = getattr(trainer, "datamodule", None)
        if data is not None and not data.train_hashes.equal(pl_module.model.train_hashes):
            remedy = "are not those that the run was trained on; restore the list, or start another"
            raise ValueError(f"the words of {data.path} {remedy} run")
        if checkpoint["global_step"]:  # not the checkpoint that the finder makes for its trial
            for one in trainer.callbacks:
                if isinstance(one, callbacks.EarlyStopping):  # it would take its old patience back
                    checkpoint["callbacks"].get(one.state_key, {})["patience"] = one.patience
                elif isinstance(one, callbacks.LearningRateFinder):  # the run has its rate
                    trainer.callbacks = [other for other in trainer.callbacks if other is not one]
                    pl_module.hparams["lr"] = checkpoint["hyper_parameters"]["lr"]
        progress = checkpoint["loops"]["fit_loop"]["epoch_loop.batch_progress"]
        # Lightning would take one more minibatch for a pass that is at its end.
        if trainer.max_epochs == -1 and progress["is_last_batch"]:
            progress["current"] = dict.fromkeys(progress["current"], 0)
            progress["is_last_batch"] = False
        # a Trainer without this callback has no state of it
        ours, device = checkpoint["callbacks"].get(self.state_key, {}), self._strategy.root_device
        if (before := ours.get("device", device.type)) != device.type:  # its dropout draws others
            log.info("changed from here on: device: %s -> %s", before, device.type)
        # torch 2.13 ends with a segmentation fault where it is given a part of a tensor
        by_rank = (torch.atleast_2d(state) for state in ours.get("rng", []))
        mine = [state[self._rank].clone() for state in by_rank if self._rank < len(state)]
        if mine:
            torch.set_rng_state(mine[0])
        if device.type == "cuda" and len(mine) > 1:
            torch.cuda.set_rng_state(mine[1], device)

    def on_train_epoch_end(self, trainer: Any, pl_module: pl.LightningModule) -> None:
        if any(isinstance(one, callbacks.WeightAveraging) for one in trainer.callbacks):
            self._weights = deepcopy(pl_module.state_dict())

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._ended = True

    def on_save_checkpoint(self, trainer: Any, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        if self._ended and self._weights:
            # a WeightAveraging that has had its turn has moved them there
            key = "current_model_state" if "current_model_state" in checkpoint else "state_dict"
            checkpoint[key] = self._weights

"""What a fit reads from its run folder and writes into it, so that a resumed run ends the same."""

import logging
import shutil
from collections.abc import Callable
from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch import callbacks
from lightning.pytorch.loggers import CSVLogger, Logger

from lit_makemore.files import replacing, write_text
from lit_makemore.runs.folder import RunFolder
from lit_makemore.runs.logger import RunLogger, added, keep_rows, settings_of, versions
from lit_makemore.runs.resume import Resumption

log = logging.getLogger(__name__)


class FolderCallback(pl.Callback):
    """Lets everything write into the run folder; replaces older results, as the fit starts.

    config is the configuration, for config.yaml; found is the run that is resumed, if any; loggers
    make the user's own loggers, which join ours.
    """

    def __init__(
        self,
        folder: RunFolder,
        config: str,
        found: Resumption | None,
        loggers: Callable[[], list[partial[Logger]]],
    ) -> None:
        self._folder, self._config, self._found, self._loggers = folder, config, found, loggers

    def setup(self, trainer: Any, pl_module: pl.LightningModule, stage: str) -> None:
        """Parts of Lightning that the user has added write there, unless they have a place."""
        opened = str(self._folder.open()) if trainer.is_global_zero else ""
        path = self._folder.path = Path(trainer.strategy.broadcast(opened))  # on all processes
        theirs = added(self._loggers(), path, self._found)
        trainer.loggers = [*trainer.loggers, *theirs]
        for callback in trainer.callbacks:
            if isinstance(callback, callbacks.ModelCheckpoint):
                if {"..", "/"} & {*Path(callback.filename or "").parts}:
                    remedy = "name the folder as its dirpath"
                    raise ValueError(f"{callback.filename!r} of a ModelCheckpoint: {remedy}")
                callback.dirpath = callback.dirpath or str(self._folder.checkpoints)
                beside = Path(callback.dirpath).resolve() == self._folder.checkpoints.resolve()
                if beside and (name := callback.filename) in ("best", "last"):
                    remedy = "give the ModelCheckpoint another filename"
                    raise ValueError(f"{name}.ckpt is a checkpoint of every run; {remedy}")
                if beside:
                    callback.CHECKPOINT_NAME_LAST = "last-v1"  # ours is last.ckpt, and no link
            elif isinstance(callback, callbacks.SpikeDetection):
                callback.exclude_batches_path = callback.exclude_batches_path or str(path)
        trainer.profiler.dirpath = trainer.profiler.dirpath or path

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """All checks have passed, so it is written into the folder from now on."""
        if trainer.is_global_zero:
            for logger in trainer.loggers:
                if isinstance(logger, CSVLogger):
                    keep_rows(logger, self._found)
                getattr(logger, "experiment", None)  # which begins it, or says why not
            write_text(self._folder.checkpoints.parent / "config.yaml", self._config)
        for logger in trainer.loggers:
            if isinstance(logger, RunLogger):
                logger.start(pl_module.hparams["n_layer"])
            goes_on = self._found and self._found.step and not isinstance(logger, CSVLogger)
            if trainer.is_global_zero and not goes_on:  # a CSVLogger writes its settings anew
                logger.log_hyperparams(settings_of(pl_module, trainer))

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """The checkpoint is restored, so old results may now be replaced."""
        if trainer.is_global_zero:
            path, last = self._folder.checkpoints.parent, self._folder.checkpoints / "last.ckpt"
            shutil.rmtree(path / "all_words", ignore_errors=True)
            for name in ("summary.json", "samples.txt", "failed.txt", "checkpoints/all_words.ckpt"):
                (path / name).unlink(missing_ok=True)
            goes_on_from = self._found and self._found.path
            if goes_on_from and not (last.exists() and goes_on_from.samefile(last)):
                with replacing(last) as file:
                    file.write(goes_on_from.read_bytes())

    def on_save_checkpoint(self, trainer: Any, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        checkpoint["loggers"] = versions(trainer.loggers)
        for logger in trainer.loggers:  # the files must have every point before the checkpoint
            logger.save()


class ExactResume(pl.Callback):
    """Saves and restores what Lightning does not: the random state. Checks the training words.

    Every process has a random state of its own, or dropout would leave out the same units on all of
    them. A process that a resumed run has more than before begins with its seed.

    At the end of training a WeightAveraging puts its averages in the place of the weights. A
    checkpoint that is saved after that keeps the weights too, as one before it does.
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
            raise ValueError(
                f"the words of {data.path} are not those that the run was trained on; "
                "restore the list, or start another run"
            )
        if checkpoint["global_step"]:  # not the checkpoint that the finder makes for its trial
            for one in trainer.callbacks:
                if isinstance(one, callbacks.EarlyStopping):  # it would take its old patience back
                    checkpoint["callbacks"].get(one.state_key, {})["patience"] = one.patience
            finder = callbacks.LearningRateFinder
            others = [one for one in trainer.callbacks if not isinstance(one, finder)]
            if len(others) < len(trainer.callbacks):  # the run has its rate, and needs no other
                trainer.callbacks = others
                pl_module.hparams["lr"] = checkpoint["hyper_parameters"]["lr"]
        progress = checkpoint["loops"]["fit_loop"]["epoch_loop.batch_progress"]
        # The end of a pass is the beginning of the next one. Lightning would take one more
        # minibatch for the old pass.
        if trainer.max_epochs == -1 and progress["is_last_batch"]:
            progress["current"] = dict.fromkeys(progress["current"], 0)
            progress["is_last_batch"] = False
        # no state of a Trainer without this callback
        ours = checkpoint["callbacks"].get(self.state_key, {})
        by_rank = [torch.atleast_2d(state) for state in ours.get("rng", [])]
        before, now = ours.get("device"), self._strategy.root_device.type
        if before not in (None, now):  # its dropout draws other numbers
            log.info("changed from here on: device: %s -> %s", before, now)
        # torch 2.13 ends with a segmentation fault where it is given a part of a tensor
        mine = [state[self._rank].clone() for state in by_rank if self._rank < len(state)]
        if mine:
            torch.set_rng_state(mine[0])
        if self._strategy.root_device.type == "cuda" and len(mine) > 1:
            torch.cuda.set_rng_state(mine[1], self._strategy.root_device)

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

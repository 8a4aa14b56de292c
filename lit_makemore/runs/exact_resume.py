"""What a resumed run needs beside Lightning's own state, so that it ends with the same bits."""

from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import LearningRateFinder

from lit_makemore.checkpoint import KEY


class ExactResume(pl.Callback):
    """Saves and restores what Lightning does not: the random state. Checks the training words.

    Raises:
        ValueError: the run was trained on other words.
    """

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        self._device = trainer.strategy.root_device

    def state_dict(self) -> dict[str, Any]:
        cuda = self._device.type == "cuda"
        states = [torch.cuda.get_rng_state(self._device)] if cuda else []
        return {"rng": [torch.get_rng_state(), *states]}

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: Any, checkpoint: dict[str, Any]
    ) -> None:
        ours = checkpoint[KEY]
        data: Any = getattr(trainer, "datamodule", None)
        if data is not None and not torch.equal(data.train_hashes.unique(), ours["train_hashes"]):
            raise ValueError(
                f"the words of {data.path} are not those that the run was trained on; "
                "restore the list, or start another run"
            )
        if not pl_module.hparams["count_mixture"]:
            pl_module.counts = None
        if checkpoint["global_step"]:  # not the checkpoint that the finder makes for its trial
            self._keep_found_rate(trainer, pl_module, checkpoint)
        loops = checkpoint["loops"]["fit_loop"]
        if trainer.max_epochs == -1:
            _start_next_pass(loops["epoch_loop.batch_progress"])
        _count_for_both(loops, checkpoint["global_step"])
        state = checkpoint["callbacks"].get(self.state_key) or ours  # where it was before
        cpu, *cuda = state.get("rng", [torch.get_rng_state()])  # none of a Trainer without this
        torch.set_rng_state(cpu)
        if self._device.type == "cuda" and cuda:
            torch.cuda.set_rng_state(cuda[0], self._device)

    def _keep_found_rate(
        self, trainer: pl.Trainer, pl_module: Any, checkpoint: dict[str, Any]
    ) -> None:
        """A LearningRateFinder has found the rate of this run; it must not look for another."""
        callbacks: list[pl.Callback] = trainer.callbacks  # type: ignore[attr-defined]
        others = [one for one in callbacks if not isinstance(one, LearningRateFinder)]
        if len(others) < len(callbacks):
            trainer.callbacks = others  # type: ignore[attr-defined]
            pl_module.hparams["lr"] = checkpoint["hyper_parameters"]["lr"]


def _count_for_both(loops: dict[str, Any], updates: int) -> None:
    """Lightning counts the updates of single steps and those of groups apart.

    A run that goes on the other way would begin at update 0.
    """
    single = loops["epoch_loop.automatic_optimization.optim_progress"]["optimizer"]["step"]
    groups = loops["epoch_loop.manual_optimization.optim_step_progress"]
    for progress in (single, groups):
        progress["total"] = dict.fromkeys(progress["total"], updates)


def _start_next_pass(progress: dict[str, Any]) -> None:
    """The end of a pass is the beginning of the next one.

    Lightning would take one more minibatch for the old pass.
    """
    if progress["is_last_batch"]:
        progress["current"] = dict.fromkeys(progress["current"], 0)
        progress["is_last_batch"] = False

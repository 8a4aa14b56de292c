"""What a resumed run needs beside Lightning's own state, so that it ends with the same bits."""

from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import LearningRateFinder

from lit_makemore.model import KEY


class ExactResume(pl.Callback):
    """Saves and restores what Lightning does not: the random state. Checks the training words.

    Every process has a random state of its own, or dropout would leave out the same units on all of
    them. A process that a resumed run has more than before begins with its seed.

    Raises:
        ValueError: the run was trained on other words.
    """

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        self._strategy, self._rank = trainer.strategy, trainer.global_rank
        if stage == "fit" and self._rank:
            torch.manual_seed(torch.initial_seed() + self._rank)

    def state_dict(self) -> dict[str, Any]:
        states, device = [torch.get_rng_state()], self._strategy.root_device
        if device.type == "cuda":
            states.append(torch.cuda.get_rng_state(device))
        gather = self._strategy.all_gather  # (processes, bytes); (bytes,) where there is only one
        return {"rng": [gather(state.to(device)).cpu() for state in states]}

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: Any, checkpoint: dict[str, Any]
    ) -> None:
        ours = checkpoint[KEY]
        data: Any = getattr(trainer, "datamodule", None)
        if data is not None and not torch.equal(data.train_hashes, pl_module.model.train_hashes):
            raise ValueError(
                f"the words of {data.path} are not those that the run was trained on; "
                "restore the list, or start another run"
            )
        if checkpoint["global_step"]:  # not the checkpoint that the finder makes for its trial
            self._keep_found_rate(trainer, pl_module, checkpoint)
        loops = checkpoint["loops"]["fit_loop"]
        if trainer.max_epochs == -1:
            _start_next_pass(loops["epoch_loop.batch_progress"])
        state = checkpoint["callbacks"].get(self.state_key) or ours  # where it was before
        self._restore(*state.get("rng", []))  # none of a Trainer without this callback

    def _restore(self, *states: torch.Tensor) -> None:
        """The random state of the CPU, and of the GPU if there is one."""
        by_rank = [torch.atleast_2d(state) for state in states]
        # torch 2.13 ends with a segmentation fault where it is given a part of a tensor
        mine = [state[self._rank].clone() for state in by_rank if self._rank < len(state)]
        device = self._strategy.root_device
        if mine:
            torch.set_rng_state(mine[0])
        if device.type == "cuda" and len(mine) > 1:
            torch.cuda.set_rng_state(mine[1], device)

    def _keep_found_rate(
        self, trainer: pl.Trainer, pl_module: Any, checkpoint: dict[str, Any]
    ) -> None:
        """A LearningRateFinder has found the rate of this run; it must not look for another."""
        callbacks: list[pl.Callback] = trainer.callbacks  # type: ignore[attr-defined]
        others = [one for one in callbacks if not isinstance(one, LearningRateFinder)]
        if len(others) < len(callbacks):
            trainer.callbacks = others  # type: ignore[attr-defined]
            pl_module.hparams["lr"] = checkpoint["hyper_parameters"]["lr"]


def _start_next_pass(progress: dict[str, Any]) -> None:
    """The end of a pass is the beginning of the next one.

    Lightning would take one more minibatch for the old pass.
    """
    if progress["is_last_batch"]:
        progress["current"] = dict.fromkeys(progress["current"], 0)
        progress["is_last_batch"] = False

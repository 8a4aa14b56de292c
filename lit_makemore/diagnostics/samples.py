"""What the network invents by now: names drawn while it trains."""

from typing import Any

import lightning.pytorch as pl
import torch

from lit_makemore.diagnostics import events
from lit_makemore.network.restored import evaluating
from lit_makemore.sampling.sampler import Sampler
from lit_makemore.sampling.scoring import score
from lit_makemore.training.schedules import is_round
from lit_makemore.words.splits import whereabouts

SEED = 2147483647  # the lecture's


class SampleMonitor(pl.Callback):
    """Writes after the 1st, 2nd, 5th, 10th, 20th, 50th … validation, as a text:

        samples   a table of names. The random numbers are the same each time. Each name has its
                  log-probability in nats, and whether it is a training word, held out or new

    Args:
        num: how many names.
    """

    def __init__(self, num: int = 10) -> None:
        self.num = num
        self._validations = 0

    def state_dict(self) -> dict[str, Any]:
        return {"validations": self._validations}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._validations = state_dict["validations"]

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.state.fn != "fit":
            return
        self._validations += 1
        if is_round(self._validations) and trainer.is_global_zero:
            rows = ["| name | ln p | |", "|---|---|---|"]
            splits = trainer.datamodule.splits  # type: ignore[attr-defined]
            for name, value in self._draw(pl_module, splits["train"].longest):
                where = whereabouts(splits, name)
                rows.append(f"| {name} | {value:.2f} | {where} |")
            events.write(trainer, trainer.global_step, texts={"samples": "\n".join(rows)})

    def _draw(self, module: Any, longest: int) -> list[tuple[str, float]]:
        """Names, each with its log-probability."""
        with evaluating(module.net):
            net, block_size = module.model, module.hparams["block_size"]
            sampler = Sampler(net, module.vocab, block_size, longest=longest, batch=self.num)
            names = next(sampler.draw(self.num, torch.Generator().manual_seed(SEED))).names
            scores = score(net, module.vocab, block_size, names).tolist()
        return list(zip(names, scores, strict=True))

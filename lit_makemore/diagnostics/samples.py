"""What it invents by now: names drawn while it trains."""

from typing import Any

import lightning.pytorch as pl
import torch

from lit_makemore.diagnostics import diagnosis
from lit_makemore.network.sampling import Sampler, score

SEED = 2147483647  # the lecture's


class SampleMonitor(pl.Callback):
    """Writes, after the 1st, 2nd, 5th, 10th, 20th … validation, the text

        samples   a table of names, always drawn with the same random numbers, each with its
                  log-probability in nats and whether it is a training word, held out or new

    Args:
        num: how many.
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
        if str(self._validations).rstrip("0") in ("1", "2", "5"):
            with diagnosis.of(trainer).timed():
                self._write(trainer, pl_module)

    def _write(self, trainer: Any, module: Any) -> None:
        if not trainer.is_global_zero:
            return
        training = module.net.training
        module.net.eval()
        block_size = module.hparams["block_size"]
        net = module.predictor()
        sampler = Sampler(net, module.vocab, block_size, batch=self.num)
        names = next(sampler.draw(self.num, torch.Generator().manual_seed(SEED))).names
        scores = score(net, module.vocab, block_size, names).tolist()
        module.net.train(training)
        rows = ["| name | ln p | |", "|---|---|---|"]
        for name, value in zip(names, scores, strict=True):
            rows.append(f"| {name} | {value:.2f} | {trainer.datamodule.whereabouts(name)} |")
        diagnosis.write(trainer, trainer.global_step, texts={"samples": "\n".join(rows)})

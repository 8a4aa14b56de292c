"""Fits of LitMLP by Lightning's Trainer, as the tests make them."""

from pathlib import Path
from typing import Any, NamedTuple

import lightning.pytorch as pl
import torch

from lit_makemore.training.datamodule import NamesDataModule
from lit_makemore.training.module import LitMLP


def trainer(steps: int, **arguments: Any) -> pl.Trainer:
    return pl.Trainer(
        **{
            "max_steps": steps,
            "max_epochs": -1,
            "accelerator": "cpu",
            "logger": False,
            "enable_checkpointing": False,
            "enable_progress_bar": False,
            "enable_model_summary": False,
            "check_val_every_n_epoch": None,
            "val_check_interval": steps,
            "num_sanity_val_steps": 0,
            **arguments,
        }
    )


class Recorder(pl.Callback):
    """The loss of every update."""

    def __init__(self) -> None:
        self.losses: list[float] = []

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx) -> None:
        self.losses.append(float(outputs["loss"]))


class Fit(NamedTuple):
    module: LitMLP
    data: NamesDataModule
    trainer: pl.Trainer


def fit(
    words: Path, steps: int, *callbacks: pl.Callback, model: dict[str, Any] | None = None,
    data: dict[str, Any] | None = None, ckpt_path: str | None = None, **trainer_arguments: Any,
) -> Fit:  # fmt: skip
    """Fits a network of eight units to a list of words."""
    torch.manual_seed(1)
    names = NamesDataModule(str(words), **{"batch_size": 16, **(data or {})})
    options = {"n_hidden": 8, "n_layer": 1, **(model or {})}
    module = LitMLP(names.chars, names.block_size, **options)
    runner = trainer(steps, **{"callbacks": list(callbacks), **trainer_arguments})
    runner.fit(module, names, ckpt_path=ckpt_path, weights_only=True if ckpt_path else None)
    return Fit(module, names, runner)

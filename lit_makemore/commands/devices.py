"""Which device a run takes, where its options leave that open.

`--trainer.accelerator auto` is the CPU for a small network, because native steps are made there;
otherwise what Lightning finds. `--trainer.devices auto` is one. What the user says is obeyed.
"""

import logging
import os
from collections.abc import Callable
from typing import Any

import lightning.pytorch as pl
import torch

from lit_makemore.training.engine import ruled_out
from lit_makemore.training.module import LitMLP

log = logging.getLogger(__name__)

# Parameters times examples of a minibatch. Below it, native steps on a CPU should be faster than
# steps by autograd on a GPU, which launch some 90 to 250 kernels each. This is an estimate: it was
# never measured on a GPU.
SMALL = 25_000_000


def number(devices: Any) -> Any:
    """The devices of this machine: auto is one, or as many as torchrun has started processes."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", 1)) if devices == "auto" else devices


def trainer_for(
    model: LitMLP, fits: bool, batch_size: int, given: Any, make: Callable[..., pl.Trainer]
) -> pl.Trainer:
    """The Trainer of a command.

    Args:
        model: what is trained or evaluated.
        fits: whether it is trained.
        batch_size: examples of a minibatch.
        given: the user's options of the Trainer.
        make: makes a Trainer of these options; its arguments replace some.
    """
    devices = number(given.devices)
    found = torch.cuda.is_available() or torch.backends.mps.is_available()
    alone = str(devices) == "1" and given.num_nodes == 1 and given.strategy == "auto"
    if found and alone and given.accelerator == "auto":
        trainer = make(accelerator="cpu", devices=devices)
        if _suits(trainer, model, fits, batch_size):
            log.info(
                "on the CPU, which should be faster for a network of this size than the GPU; "
                "to use that: --trainer.accelerator gpu"
            )
            return trainer
    return make(devices=devices)


def _suits(on_cpu: pl.Trainer, model: LitMLP, fits: bool, batch_size: int) -> bool:
    """Whether the CPU is the place of a run: it is small, and its steps would be native."""
    engine, size = model.hparams["engine"], sum(p.numel() for p in model.parameters())
    small = size * batch_size < SMALL or engine == "native"
    native = engine in ("auto", "native") and not any(ruled_out(on_cpu, model, with_data=False))
    return small and (native or not fits)

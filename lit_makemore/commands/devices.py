"""Which device a run takes; what the user says is obeyed.

`--trainer.accelerator auto` is the CPU for a small network, whose native steps are made there.
"""

import logging
import os
from collections.abc import Callable
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.fabric.plugins.environments import TorchElasticEnvironment

from lit_makemore.commands.output import RANKS, SIZES, rank
from lit_makemore.training.engine import ruled_out
from lit_makemore.training.module import LitMLP
from lit_makemore.training.option_conflicts import refuse

log = logging.getLogger(__name__)
# Parameters times examples of a minibatch. Below it, native steps on a CPU should be faster than
# steps by autograd on a GPU, of 90 to 250 kernels each: an estimate, never measured on a GPU.
SMALL = 25_000_000
ON_CPU = "on the CPU, which should be faster for a network of this size than the GPU; to use that:"


def number(devices: Any) -> Any:
    """The devices of this machine: auto is one, or as many as torchrun has started processes."""
    started = os.environ.get("LOCAL_WORLD_SIZE", 1) if TorchElasticEnvironment.detect() else 1
    return int(started) if devices == "auto" else devices


def check_launcher(trainer: Any) -> None:
    """Refuses another number of processes than a launcher has started, or a rank that it has left.

    Lightning compares the rest. With LOCAL_RANK it would wait for processes that nobody starts. If
    it does not know the launcher (mpirun), each of the processes would start others.
    """
    processes, nodes = trainer.num_devices * trainer.num_nodes, trainer.num_nodes
    joined = processes > 1 and trainer.strategy.cluster_environment.creates_processes_externally
    started = ["WORLD_SIZE"] if TorchElasticEnvironment.detect() else SIZES
    size = max(int(os.environ.get(name, 1)) for name in started)
    alone, said = processes == 1, f"but --trainer.devices times --trainer.num_nodes is {processes}"
    name = next((name for name in RANKS if name in os.environ), "")
    where = f"{name}={rank()} in the environment is of one of several processes"
    waits = not alone and os.environ.get("WORLD_SIZE") != str(processes)
    by_hand = f"set WORLD_SIZE={processes} if all {processes} were started by hand"
    would_start = f"would start {processes - 1} more: use torchrun or srun, or pip install mpi4py"
    node = f"NODE_RANK or GROUP_RANK in the environment is {trainer.node_rank}"
    refuse([
        (alone and size > 1, f"{size} processes were started, {said}"),
        (size > 1 and not joined, f"{size} processes were started, and each {would_start}"),
        (alone and rank(), f"{where}, {said}: unset {name}, or use torchrun"),
        (waits and "LOCAL_RANK" in os.environ, f"{where}: unset LOCAL_RANK, or {by_hand}"),
        (trainer.node_rank >= nodes, f"{node}, but --trainer.num_nodes {nodes}: unset it"),
    ])  # fmt: skip


def trainer_for(
    model: LitMLP, fits: bool, batch_size: int, given: Any, make: Callable[..., pl.Trainer]
) -> pl.Trainer:
    """A Trainer by `make`, of the options `given`; on the CPU if the run is small and native."""
    devices = number(given.devices)
    found = torch.cuda.is_available() or torch.backends.mps.is_available()
    alone = str(devices) == "1" and given.num_nodes == 1 and given.strategy == "auto"
    if found and alone and given.accelerator == "auto":
        trainer = make(accelerator="cpu", devices=devices)
        engine, size = model.hparams["engine"], sum(p.numel() for p in model.parameters())
        ours = engine in ("auto", "native") and not any(ruled_out(trainer, model, with_data=False))
        if (size * batch_size < SMALL or engine == "native") and (ours or not fits):
            log.info("%s --trainer.accelerator gpu", ON_CPU)
            return trainer
    return make(devices=devices)

"""What stops a run: a loss that is not finite, or a signal, between two updates or before them."""

import shlex
import signal
import sys
from contextlib import suppress
from math import inf, isfinite
from pathlib import Path
from socket import getaddrinfo
from subprocess import TimeoutExpired
from typing import Any

import lightning.pytorch as pl
import torch

from lit_makemore.diagnostics.checks import Seen, judge, options_of
from lit_makemore.diagnostics.figures import listed, nonfinite_tensors
from lit_makemore.diagnostics.probe import network_of
from lit_makemore.runs import signals, slurm
from lit_makemore.runs.signals import Stopped
from lit_makemore.training.groups import AtUpdates
from lit_makemore.training.lightning_internals import validation_follows

EVERY = 10  # updates between two times that several processes ask each other for a signal


class Diverged(ValueError):
    """The loss is not finite."""


class StopOnNaN(AtUpdates):
    """Raises Diverged if a loss is not finite, of any process, every log_every_n_steps updates."""

    def setup(self, trainer: Any, pl_module: pl.LightningModule, stage: str) -> None:
        self._every = trainer.log_every_n_steps or 50

    def due(self, step: int) -> float:
        return (step // self._every + 1) * self._every

    def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, *args: Any) -> None:
        step = trainer.global_step
        if step % self._every:
            return
        loss = float(outputs["loss"])
        if trainer.strategy.reduce_boolean_decision(isfinite(loss)):
            return
        if isfinite(loss):
            raise Diverged(f"the loss of another process is not finite at update {step}")
        found = nonfinite_tensors(network_of(module))
        seen = Seen(step, options=options_of(trainer, module), nonfinite=found or ["the loss"])
        line = f"the loss is {loss} at update {step}"
        line += f"; these are not finite either: {listed(found)}" if found else ""
        line += "; last.ckpt was saved before" if trainer.checkpoint_callbacks else ""
        raise Diverged(f"{line}. Try {judge(seen)[0].advice}")


class StopOnSignal(AtUpdates):
    """Raises Stopped after the update during which a noted signal came, on all processes.

    A SLURM job that is warned, or preempted, is queued again, up to `max_requeues` times, if a
    subclass has saved its run.
    """

    def __init__(self, max_requeues: int = 0) -> None:
        self._max_requeues, self._step = max_requeues, 0

    def due(self, step: int) -> float:
        return inf  # at the end of any group

    def save(self, trainer: pl.Trainer) -> Path | None:
        return None  # a subclass saves, and returns the checkpoint

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._step = trainer.global_step
        if self._step == 0:
            self.save(trainer)
        self._stop_if_asked(trainer)

    def on_train_batch_end(self, trainer: pl.Trainer, *args: Any) -> None:
        before, self._step = self._step, trainer.global_step
        asking = trainer.world_size == 1 or self._step % EVERY == 0
        # at the same step gradients are being accumulated
        if asking and before != self._step and not validation_follows(trainer):
            self._stop_if_asked(trainer)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.state.fn == "fit":
            self._stop_if_asked(trainer)

    def _stop_if_asked(self, trainer: Any) -> None:
        asked = signals.received()
        if trainer.world_size > 1:
            everyone = torch.tensor(asked, device=trainer.strategy.root_device)
            asked = int(trainer.strategy.reduce(everyone, reduce_op="max"))
        if not asked:
            return
        signum = signal.Signals(signals.ASKING[asked - 1])
        line = f"stopped by {signum.name} at update {trainer.global_step:,}"
        if saved := self.save(trainer):
            run = shlex.quote(str(saved.parent.parent))
            line += f"; continue with fit --resume {run} (checkpoint: {saved})"
            if slurm.job():
                name = signum.name if trainer.is_global_zero else ""
                if name in signals.WARNINGS or (name == "SIGTERM" and slurm.preempted()):
                    # said at once: from now on SLURM ends the processes
                    print(slurm.requeue(self._max_requeues), file=sys.stderr, flush=True)
                trainer.strategy.barrier()  # nobody ends before that is done
        _leave(trainer)
        raise Stopped(signum, line)


def stop_while_connecting(trainer: Any) -> None:
    """Lets a signal end a process that waits for the others: torch waits in C++, for half an hour.

    In a SLURM job it is kept for the first update. If nobody is found, a ValueError says where.
    """
    strategy = trainer.strategy
    if not (connect := getattr(strategy, "setup_distributed", None)):
        return

    def connecting() -> None:
        place = strategy.cluster_environment
        ending = [one for one in signals.ASKING if one.name not in signals.WARNINGS]
        try:
            with signals.noted(*(() if slurm.job() else ending), handler=signal.SIG_DFL):
                getaddrinfo(place.main_address, None)
                connect()
        except Exception as error:
            for child in getattr(strategy.launcher, "procs", []):
                child.terminate()
            _leave(trainer)
            why = str(error).partition("\n")[0]
            raise ValueError(
                f"the processes do not find each other at {place.main_address}:{place.main_port} "
                f"({why}); let MASTER_ADDR and MASTER_PORT name a free port of the first machine"
            ) from error

    strategy.setup_distributed = connecting


def _leave(trainer: Any) -> None:
    """Disconnects, which the processes that Lightning started wait for, and lets them end.

    They are taken out of its watch, which would kill this one.
    """
    if trainer.world_size > 1 and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
    started = getattr(trainer.strategy.launcher, "procs", [])
    children = started[:]
    started.clear()
    for child in children:
        with suppress(TimeoutExpired):
            child.wait(20)

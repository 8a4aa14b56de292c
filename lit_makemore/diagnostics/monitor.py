"""The base class of the callbacks that write figures, and what the monitors of a Trainer share."""

from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

import lightning.pytorch as pl
from tensorboard.compat.proto.summary_pb2 import HistogramProto
from torch import Tensor

from lit_makemore.diagnostics import events
from lit_makemore.diagnostics.probe import Probe, network_of, run_probe
from lit_makemore.training.schedules import is_due


@dataclass
class DueUpdate:
    """An update that is due, as all monitors of one Trainer share it.

    Args:
        step: number of the update, from 1.
        probe: of its first minibatch, before the update; None until a monitor asks for it.
        figures: the scalars that monitors have written, by tag.
    """

    step: int
    probe: Probe | None = None
    figures: dict[str, float] = field(default_factory=dict)


_latest: WeakKeyDictionary[pl.Trainer, DueUpdate] = WeakKeyDictionary()


def due_update(trainer: pl.Trainer, step: int) -> DueUpdate:
    """What the monitors of this Trainer share about update number `step`."""
    if trainer not in _latest or _latest[trainer].step != step:
        _latest[trainer] = DueUpdate(step)
    return _latest[trainer]


class Monitor(pl.Callback):
    """Calls before_update and after_update once for every update that is due.

    Every n-th update is due, and a few early ones (schedules.EARLY). An update counts once, also
    where the gradients of several minibatches are added up. Works on any LightningModule.

    Args:
        every_n_steps: n; None: a fiftieth of the run, but at least 50 updates.

    Attributes:
        probe_interval: the n in use, known once a fit is set up. Grouped steps read it: an update
            that is due is a group of its own.
    """

    takes_groups = True

    def __init__(self, every_n_steps: int | None = None) -> None:
        self.every_n_steps = every_n_steps

    def before_update(
        self, trainer: pl.Trainer, module: pl.LightningModule, batch: Any, due: DueUpdate
    ) -> None:
        """Runs before an update that is due, with its first minibatch."""

    def after_update(self, trainer: pl.Trainer, module: pl.LightningModule, due: DueUpdate) -> None:
        """Runs after an update that was due."""

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        if self.every_n_steps is not None:
            self.probe_interval = self.every_n_steps
        else:
            self.probe_interval = (
                max(trainer.max_steps // 50, 50) if trainer.max_steps > 0 else 1000
            )
        self._due: DueUpdate | None = None  # the update that has begun

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        step = trainer.global_step + 1
        if self._due is None and is_due(step, self.probe_interval):
            self._due = due_update(trainer, step)
            self.before_update(trainer, pl_module, batch, self._due)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, *args: Any
    ) -> None:
        due = self._due
        if due is not None and due.step == trainer.global_step:
            self._due = None
            self.after_update(trainer, pl_module, due)

    def probe(
        self, trainer: pl.Trainer, module: pl.LightningModule, batch: Any, due: DueUpdate
    ) -> Probe:
        """The probe of a due update. The first monitor that asks for it runs it.

        The loss is that of the module's method `loss(batch)`, which must return a scalar. A module
        without this method runs forward on the batch's first element, and there are no gradients.
        """
        if due.probe is None:
            loss: Any = getattr(module, "loss", None)

            def forward() -> Tensor | None:
                if loss is not None:
                    return loss(batch)
                module(batch[0] if isinstance(batch, tuple | list) else batch)
                return None

            with trainer.precision_plugin.forward_context():
                due.probe = run_probe(network_of(module), forward)
        return due.probe

    def write(
        self,
        trainer: pl.Trainer,
        due: DueUpdate,
        scalars: dict[str, float],
        histograms: dict[str, HistogramProto] | None = None,
    ) -> None:
        """Writes figures of a due update, and keeps the scalars for the monitors that follow."""
        due.figures.update(scalars)
        events.write(trainer, due.step, scalars, histograms)

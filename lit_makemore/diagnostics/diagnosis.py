"""What the observers of one run share: the extra pass of a due step, its figures, its cost."""

from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import Any
from weakref import WeakKeyDictionary

import lightning.pytorch as pl
from lightning.pytorch.loggers import TensorBoardLogger
from tensorboard.compat.proto.summary_pb2 import HistogramProto, Summary
from torch import Tensor, nn
from torch.utils.tensorboard.summary import text as text_summary

from lit_makemore.diagnostics.probe import Observation, is_due, observe


class Diagnosis:
    """One for each Trainer; an observer asks `of(trainer)` for it.

    Attributes:
        latest: the observation of the latest due step.
        values: the figures written at that step, by tag.
        seconds: what all observers have taken so far.
    """

    def __init__(self) -> None:
        self.values: dict[str, float] = {}
        self.seconds = 0.0
        self._step = -1
        self.latest: Observation | None = None

    def observation(
        self, trainer: pl.Trainer, module: pl.LightningModule, batch: Any
    ) -> Observation:
        """The extra pass over a step's first minibatch, made once for all observers.

        The module's method `loss(batch)` is run, which must return a scalar; a module without one
        is run forward on the batch's first element, and no gradients are seen.
        """
        step = trainer.global_step + 1
        if self.latest is None or self._step != step:
            if not module.automatic_optimization:  # a fused group; a due step is one of its own
                batch = [part[0] for part in batch]
            loss: Any = getattr(module, "loss", None)

            def run() -> Tensor | None:
                if loss is not None:
                    return loss(batch)
                module(batch[0] if isinstance(batch, tuple | list) else batch)
                return None

            with trainer.precision_plugin.forward_context():
                self.latest = observe(net_of(module), run)
            self._step, self.values = step, {}
        return self.latest

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Counts what happens inside as the diagnostics' cost."""
        begun = perf_counter()
        yield
        self.seconds += perf_counter() - begun


_diagnoses: WeakKeyDictionary[pl.Trainer, Diagnosis] = WeakKeyDictionary()


def of(trainer: pl.Trainer) -> Diagnosis:
    """The Diagnosis of a Trainer."""
    return _diagnoses.setdefault(trainer, Diagnosis())


def net_of(module: Any) -> nn.Module:
    """What is looked at: LitMLP's network, or the whole of another module."""
    return getattr(module, "net", module)


def look(
    trainer: pl.Trainer, module: pl.LightningModule, batch: Any, every_n_steps: int
) -> Observation | None:
    """The observation of the update that this batch is for; None if it is not due."""
    if not is_due(trainer.global_step + 1, every_n_steps):
        return None
    shared = of(trainer)
    with shared.timed():
        return shared.observation(trainer, module, batch)


def write(
    trainer: pl.Trainer,
    step: int,
    scalars: dict[str, float] | None = None,
    histograms: dict[str, HistogramProto] | None = None,
    pictures: dict[str, tuple[int, int, bytes]] | None = None,
    texts: dict[str, str] | None = None,
) -> None:
    """Writes everything in one event (TensorBoard), or the scalars alone (other loggers)."""
    of(trainer).values.update(scalars or {})
    if not trainer.is_global_zero:
        return
    for logger in trainer.loggers:
        if not isinstance(logger, TensorBoardLogger):
            if scalars:
                logger.log_metrics(scalars, step=step)
            continue
        values = [Summary.Value(tag=k, simple_value=v) for k, v in (scalars or {}).items()]
        values += [Summary.Value(tag=k, histo=h) for k, h in (histograms or {}).items()]
        for tag, (height, width, png) in (pictures or {}).items():
            image = Summary.Image(
                height=height, width=width, colorspace=3, encoded_image_string=png
            )
            values.append(Summary.Value(tag=tag, image=image))
        for tag, text in (texts or {}).items():
            summary = text_summary(tag, text)
            summary.value[0].tensor.tensor_shape.ClearField("dim")  # else it sits in a table cell
            values.extend(summary.value)
        if values:
            logger.experiment.file_writer.add_summary(Summary(value=values), step)


def histogram(values: Tensor, limit: float, bins: int = 40) -> HistogramProto:
    """Counts in equal bins on [-limit, limit]; what lies outside goes into the outermost ones."""
    clamped = values.detach().float().clamp(-limit, limit)
    counts = clamped.histc(bins, -limit, limit)
    edges = [limit * (2 * (i + 1) / bins - 1) for i in range(bins)]
    return HistogramProto(
        min=float(clamped.min()),
        max=float(clamped.max()),
        num=clamped.numel(),
        sum=float(clamped.sum()),
        sum_squares=float(clamped.square().sum()),
        bucket_limit=edges,
        bucket=counts.tolist(),
    )

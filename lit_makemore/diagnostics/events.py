"""How figures reach the loggers: scalars, histograms, pictures and texts of one step."""

from io import BytesIO
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.loggers import TensorBoardLogger
from PIL import Image
from tensorboard.compat.proto.summary_pb2 import HistogramProto, Summary
from torch import Tensor
from torch.utils.tensorboard.summary import text as text_summary


def write(
    trainer: pl.Trainer,
    step: int,
    scalars: dict[str, float] | None = None,
    histograms: dict[str, HistogramProto] | None = None,
    pictures: dict[str, tuple[int, int, bytes]] | None = None,
    texts: dict[str, str] | None = None,
) -> None:
    """Writes to every logger of a Trainer, on the first process only.

    TensorBoard gets everything, as one event. A logger with a method `tag` names what it shows, and
    leaves out what has no name. Other loggers get the scalars, and what they have WandbLogger's
    methods for: pictures by log_image, texts by log_text.

    Args:
        trainer: whose loggers are written to.
        step: number of the update, from 1.
        scalars, histograms, texts: by tag.
        pictures: height and width in pixels and the PNG, by tag.
    """
    if not trainer.is_global_zero:
        return
    for logger in trainer.loggers:
        if not isinstance(logger, TensorBoardLogger):
            _to_another(logger, step, scalars or {}, pictures or {}, texts or {})
            continue
        values = [
            Summary.Value(tag=tag, simple_value=x) for tag, x in _tagged(logger, scalars).items()
        ]
        values += [
            Summary.Value(tag=tag, histo=h) for tag, h in _tagged(logger, histograms).items()
        ]
        for tag, (height, width, png) in _tagged(logger, pictures).items():
            image = Summary.Image(
                height=height, width=width, colorspace=3, encoded_image_string=png
            )
            values.append(Summary.Value(tag=tag, image=image))
        for tag, text in _tagged(logger, texts).items():
            summary = text_summary(tag, text)
            # A text of shape (1,) is shown inside a table cell, one without a shape is not.
            summary.value[0].tensor.tensor_shape.ClearField("dim")
            values.extend(summary.value)
        if values:
            logger.experiment.file_writer.add_summary(Summary(value=values), step)


def _tagged(logger: TensorBoardLogger, values: dict[str, Any] | None) -> dict[str, Any]:
    tag_of = getattr(logger, "tag", lambda key: key)
    tagged = {tag_of(key): value for key, value in (values or {}).items()}
    tagged.pop(None, None)
    return tagged


def _to_another(
    logger: Any,
    step: int,
    scalars: dict[str, float],
    pictures: dict[str, tuple[int, int, bytes]],
    texts: dict[str, str],
) -> None:
    if scalars:
        logger.log_metrics(scalars, step=step)
    if hasattr(logger, "log_image"):
        for tag, (_, _, png) in pictures.items():
            logger.log_image(tag, [Image.open(BytesIO(png))], step=step)
    if hasattr(logger, "log_text"):
        for tag, text in texts.items():
            logger.log_text(tag, ["text"], [[text]], step=step)


def histogram(values: Tensor, limit: float, bins: int = 40) -> HistogramProto:
    """Counts in equal bins on [-limit, limit]; values outside go into the outermost bins."""
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

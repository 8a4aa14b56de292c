"""How figures reach the loggers, and where TensorBoard shows them.

TensorBoard opens the first groups of its page, by number, and cuts long tags: so the losses come
first, then a card for each idea. Other loggers, and the keys that callbacks monitor, have the names
of figures.py. What counting achieves, and the rule of thumb for updates, are level lines beside the
curves: a run of their own, guides/<word list>, which all runs of a word list share.
"""

import json
import re
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import sha256
from io import BytesIO
from math import isfinite
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.loggers import TensorBoardLogger
from PIL import Image
from tensorboard.compat.proto.summary_pb2 import HistogramProto, Summary
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard.summary import text as text_summary

from lit_makemore.diagnostics.figures import GUIDE
from lit_makemore.diagnostics.probe import hidden_of, network_of
from lit_makemore.files import write_text

Picture = tuple[int, int, bytes]  # height and width in pixels, PNG
MOST_LAYERS = 5  # of a deeper network, so many layers have cards, from the first to the last
POINTS = 200  # TensorBoard takes a line of two points for an outlier, and leaves it out
GROUPS = {  # a figure, or the group it is in, and where TensorBoard shows it
    "train/loss": "1_losses/train",
    "initial_loss/network": "1_losses/train",  # its first point
    "val/loss": "1_losses/val",
    "val/loss_novel": "1_losses/val_novel",
    "pictures": "2_pictures",
    "activation_saturated": "3_saturated",
    "activation_std": "4_std",
    "gradient_std": "5_gradient",
    "update_ratio": "6_update",
    "train/lr": "7_progress/lr",
    "train/steps_per_s": "7_progress/steps_per_s",
    "val/top1": "7_progress/val_top1",
    "counting": "8_counting",
    "best": "9_best",
}
DETAILS = re.compile(  # what is only shown if all figures are asked for
    "activation_(mean|dead)/|gradient_mean/|weight_gradient|grad_to_data/|lr_grad_ratio/"
    "|batch_norm_|initial_loss/uniform|health/|val/(perplexity|bits_per_char|top5)"
    "|update_ratio/(guide|embedding|.*(bias|norm/weight)$)"
)
# The Custom Scalars page: what the lecture draws into one chart. A chart has one colour for each
# run, whatever the number of its lines: layers are told apart by the pictures, not here.
LAYOUT = {
    "the lecture": {
        "losses; level lines: counting": [
            "Multiline", [r"1_losses/(train|val)$", r"8_counting/.*"],
        ],
        "log10 of update over weight, hidden layers; guide -3": [
            "Multiline", [r"6_update/hidden.*"],
        ],
    }
}  # fmt: skip


class CardLogger(TensorBoardLogger):
    """A TensorBoardLogger that shows figures as cards, and details only with all_figures."""

    n_layer, all_figures = 1, False  # hidden layers of the network; whether to show all of them

    def log_metrics(self, metrics: Any, step: int | None = None) -> None:
        super().log_metrics(tagged(self, metrics), step)


def card(figure: str, n_layer: int, all_figures: bool) -> str | None:
    """Where TensorBoard shows a figure, as activation_std/hidden1/tanh; None: it does not."""
    if not all_figures:
        layer = re.search(r"/hidden(\d+)/", figure)
        if DETAILS.match(figure) or (layer and int(layer[1]) not in shown_layers(n_layer)):
            return None
    for key, group in GROUPS.items():
        if figure == key or figure.startswith(f"{key}/"):
            return group + figure.removeprefix(key)
    return figure


def shown_layers(n_layer: int) -> set[int]:
    """The first layer, the last, and some between them, from 1."""
    if n_layer <= MOST_LAYERS:
        return set(range(1, n_layer + 1))
    return {1 + i * (n_layer - 1) // (MOST_LAYERS - 1) for i in range(MOST_LAYERS)}


def tagged(logger: TensorBoardLogger, values: dict[str, Any]) -> dict[str, Any]:
    """Values by tag, those that the logger shows; another TensorBoardLogger shows all by name."""
    if not isinstance(logger, CardLogger):
        return values
    tags = {name: card(name, logger.n_layer, logger.all_figures) for name in values}
    return {tag: values[name] for name, tag in tags.items() if tag}


@dataclass
class Events:
    """What is written of one step, by name; histograms are tensors with the limit of their bins."""

    scalars: dict[str, float] = field(default_factory=dict)
    histograms: dict[str, tuple[Tensor, float]] = field(default_factory=dict)
    pictures: dict[str, Picture] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)


def write(trainer: pl.Trainer, step: int, events: Events) -> None:
    """Writes to every logger of a Trainer, on the first process only.

    TensorBoard gets all at once: SummaryWriter.add_scalar takes fifty times as long for a figure.
    Other loggers get the scalars, and what they have WandbLogger's methods for: pictures by
    log_image, texts by log_text.
    """
    loggers: list[Any] = trainer.loggers if trainer.is_global_zero else []
    for logger in loggers:
        if not isinstance(logger, TensorBoardLogger):
            if events.scalars:
                logger.log_metrics(events.scalars, step=step)
            if hasattr(logger, "log_image"):
                for name, (_, _, png) in events.pictures.items():
                    logger.log_image(name, [Image.open(BytesIO(png))], step=step)
            if hasattr(logger, "log_text"):
                for name, text in events.texts.items():
                    logger.log_text(name, ["text"], [[text]], step=step)
            continue
        scalars = tagged(logger, events.scalars).items()
        values = [Summary.Value(tag=tag, simple_value=number) for tag, number in scalars]
        for tag, (tensor, limit) in tagged(logger, events.histograms).items():
            values.append(Summary.Value(tag=tag, histo=histogram(tensor, limit)))
        for tag, (h, w, png) in tagged(logger, events.pictures).items():
            image = Summary.Image(height=h, width=w, colorspace=3, encoded_image_string=png)
            values.append(Summary.Value(tag=tag, image=image))
        for tag, text in tagged(logger, events.texts).items():
            (value,) = text_summary(tag, text).value
            # A text of shape (1,) is shown inside a table cell, one without a shape is not.
            value.tensor.tensor_shape.ClearField("dim")
            values.append(value)
        if values:
            logger.experiment.file_writer.add_summary(Summary(value=values), step)


def histogram(values: Tensor, limit: float, bins: int = 40) -> HistogramProto:
    """Counts in equal bins on [-limit, limit]; values outside go into the outermost bins.

    On the CPU: a GPU has no deterministic histc, and would be waited for once a number.
    """
    clamped = values.detach().float().cpu().clamp(-limit, limit)
    return HistogramProto(
        min=float(clamped.min()),
        max=float(clamped.max()),
        num=clamped.numel(),
        sum=float(clamped.sum()),
        sum_squares=float(clamped.square().sum()),
        bucket_limit=[limit * (2 * (i + 1) / bins - 1) for i in range(bins)],
        bucket=clamped.histc(bins, -limit, limit).tolist(),
    )


def draw_guides(trainer: pl.Trainer, module: pl.LightningModule, data: Any) -> None:
    """Level lines beside the run of the first TensorBoardLogger, on the first process.

    Val losses of the count models; Kneser–Ney's beside val/loss; the rule of thumb for updates.
    """
    loggers = [one for one in trainer.loggers if isinstance(one, TensorBoardLogger)]
    if not trainer.is_global_zero or not loggers:
        return
    levels = {f"counting/{name}": losses["val"] for name, losses in data.baselines.items()}
    best = data.baselines["kneser_ney"]
    levels |= {"val/loss": best["val"], "val/loss_novel": best["val_novel"]}
    levels |= {f"update_ratio/{name}": GUIDE for name in hidden_of(network_of(module))}
    lines = {name: level for name, level in levels.items() if level is not None}
    length = trainer.estimated_stepping_batches  # infinite where only the time is limited
    end = int(length) if isfinite(length) else trainer.global_step
    # Another split or window of a list has other levels, and so another name.
    rounded = sorted((name, round(x, 4)) for name, x in lines.items() if x != GUIDE)
    name = f"{Path(data.path).stem}-{sha256(repr(rounded).encode()).hexdigest()[:4]}"
    draw(Path(loggers[0].log_dir).parent / "guides" / name, tagged(loggers[0], lines), end)


def draw(folder: Path, lines: dict[str, float], end: int) -> None:
    """Draws level lines, by tag, from 0 to a step, so far as the folder does not have them yet."""
    index = folder / "lines.json"  # where each line ends
    ends: dict[str, int] = {}
    with suppress(OSError, ValueError):  # not there, or damaged: they are drawn again
        ends = json.loads(index.read_text("utf-8"))
    missing = {tag: level for tag, level in lines.items() if ends.get(tag, 0) < end}
    if not missing:
        return
    with SummaryWriter(str(folder)) as writer:
        for tag, level in missing.items():
            begin, summary = ends.get(tag, 0), Summary.Value(tag=tag, simple_value=level)
            for i in range(POINTS + 1):
                step = begin + i * (end - begin) // POINTS
                writer.file_writer.add_summary(Summary(value=[summary]), step)
    write_text(index, json.dumps({**ends, **dict.fromkeys(missing, end)}, indent=2) + "\n")

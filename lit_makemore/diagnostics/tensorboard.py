"""How figures reach the loggers, and where TensorBoard shows them."""

import json
import re
from hashlib import sha256
from math import isfinite
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.loggers import TensorBoardLogger
from tensorboard.compat.proto.summary_pb2 import HistogramProto, Summary
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter, summary

from lit_makemore.diagnostics.figures import GUIDE
from lit_makemore.diagnostics.probe import hidden_of, network_of
from lit_makemore.files import write_text

Events = dict[str, dict[str, Any]]  # of one step: scalars, histograms, pictures, texts, by name
MOST_LAYERS = 5  # of a deeper network, so many layers have cards, from the first to the last
POINTS = 200  # TensorBoard takes a line of two points for an outlier, and leaves it out
GROUPS = {  # a figure, or its group, and where it is shown; the first groups of the page are open
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
# The Custom Scalars page. A chart has one colour for each run: it cannot tell layers apart.
LAYOUT = {
    "the lecture": {
        "losses; level lines: counting": ["Multiline", ["1_losses/(train|val)$", "8_counting/.*"]],
        "log10 of update over weight, hidden layers; guide -3": ["Multiline", ["6_update/hidden"]],
    }
}  # fmt: skip


class CardLogger(TensorBoardLogger):
    """A TensorBoardLogger that shows figures as cards, and details only with all_figures."""

    n_layer, all_figures = 1, False  # hidden layers of the network; whether to show all of them

    def log_metrics(self, metrics: Any, step: int | None = None) -> None:
        super().log_metrics(tagged(self, metrics), step)


def card(figure: str, n_layer: int, all_figures: bool) -> str | None:
    """Where TensorBoard shows a figure, as activation_std/hidden1/tanh; None: it does not."""
    layer = re.search(r"/hidden(\d+)/", figure)
    hides = DETAILS.match(figure) or (layer and int(layer[1]) - 1 not in some(n_layer, MOST_LAYERS))
    if hides and not all_figures:
        return None
    for key, group in GROUPS.items():
        if f"{figure}/".startswith(f"{key}/"):
            return group + figure.removeprefix(key)
    return figure


def some(n: int, most: int) -> set[int]:
    """Of n layers, from 0, the first, the last and some between them."""
    return {*range(n)} if n <= most else {i * (n - 1) // (most - 1) for i in range(most)}


def tagged(logger: TensorBoardLogger, values: dict[str, Any]) -> dict[str, Any]:
    """Values by tag, those that the logger shows; another TensorBoardLogger shows all by name."""
    if not isinstance(logger, CardLogger):
        return values
    tags = {name: card(name, logger.n_layer, logger.all_figures) for name in values}
    return {tag: values[name] for name, tag in tags.items() if tag}


def write(trainer: pl.Trainer, step: int, events: Events) -> None:
    """Writes to every logger, on the first process only.

    Others than TensorBoard's get what they have WandbLogger's methods for, beside the scalars.
    """
    loggers: list[Any] = trainer.loggers if trainer.is_global_zero else []
    for logger in loggers:
        if isinstance(logger, TensorBoardLogger):
            logger.experiment.file_writer.add_summary(summary_of(logger, events), step)
            continue
        if events.get("scalars"):
            logger.log_metrics(events["scalars"], step=step)
        for name, picture in events.get("pictures", {}).items():
            if hasattr(logger, "log_image"):
                logger.log_image(name, [picture], step=step)
        for name, text in events.get("texts", {}).items():
            if hasattr(logger, "log_text"):
                logger.log_text(name, ["text"], [[text]], step=step)


def summary_of(logger: TensorBoardLogger, events: Events) -> Summary:
    """All at once: SummaryWriter.add_scalar takes fifty times as long for a figure."""
    values = list[Summary.Value]()
    for kind, found in events.items():
        for tag, x in tagged(logger, found).items():
            if kind == "scalars":
                values.append(Summary.Value(tag=tag, simple_value=x))
            elif kind == "histograms":
                values.append(Summary.Value(tag=tag, histo=histogram(*x)))
            elif kind == "pictures":
                values += summary.image(tag, x, dataformats="HWC").value
            else:
                (value,) = summary.text(tag, x).value
                value.tensor.tensor_shape.ClearField("dim")  # of shape (1,), it is a table's cell
                values.append(value)
    return Summary(value=values)


def histogram(values: Tensor, limit: float, bins: int = 40) -> HistogramProto:
    """Counts in equal bins on [-limit, limit]; values outside go into the outermost bins."""
    # On the CPU: a GPU has no deterministic histc, and would be waited for once a number.
    clamped = values.detach().float().cpu().clamp(-limit, limit)
    ends = [limit * (2 * (i + 1) / bins - 1) for i in range(bins)]
    counts = clamped.histc(bins, -limit, limit).tolist()
    low, high = map(float, clamped.aminmax())
    return HistogramProto(min=low, max=high, bucket_limit=ends, bucket=counts)


def draw_guides(trainer: pl.Trainer, module: pl.LightningModule, data: Any) -> None:
    """What counting reaches, and the rule for updates, as level lines: a run beside the others."""
    loggers = [one for one in trainer.loggers if isinstance(one, TensorBoardLogger)]
    if not trainer.is_global_zero or not loggers:
        return
    best = data.baselines["kneser_ney"]
    losses = {"val/loss": best["val"], "val/loss_novel": best["val_novel"]}
    losses |= {f"counting/{name}": row["val"] for name, row in data.baselines.items()}
    levels = {name: loss for name, loss in losses.items() if loss is not None}
    # Another split or window of a list has other levels, and so another name.
    rounded = sorted((name, round(x, 4)) for name, x in levels.items())
    name = f"{Path(data.path).stem}-{sha256(repr(rounded).encode()).hexdigest()[:4]}"
    levels |= {f"update_ratio/{name}": GUIDE for name in hidden_of(network_of(module))}
    length = trainer.estimated_stepping_batches  # infinite where only the time is limited
    end = int(length) if isfinite(length) else trainer.global_step
    draw(Path(loggers[0].log_dir).parent / "guides" / name, tagged(loggers[0], levels), end)


def draw(folder: Path, levels: dict[str, float], end: int) -> None:
    """Draws level lines, by tag, from 0 to a step, so far as the folder does not have them yet."""
    index = folder / "lines.json"  # where each line ends
    ends: dict[str, int] = json.loads(index.read_text("utf-8")) if index.exists() else {}
    missing = {tag: level for tag, level in levels.items() if ends.get(tag, 0) < end}
    if not missing:
        return
    with SummaryWriter(str(folder)) as writer:
        for tag, level in missing.items():
            begin = ends.get(tag, 0)
            for i in range(POINTS + 1):
                writer.add_scalar(tag, level, begin + i * (end - begin) // POINTS)
    write_text(index, json.dumps({**ends, **dict.fromkeys(missing, end)}, indent=2) + "\n")

"""What counting achieves, and the rule of thumb for updates, as level lines beside the curves.

They are a run of their own, guides/<word list>, which all runs of a word list share:

    val/loss, val/loss_novel       losses of Kneser–Ney counts
    counting/<count model>         val losses of the count models
    update_ratio/<hidden weight>   -3, the rule of thumb
"""

import json
from collections.abc import Mapping
from hashlib import sha256
from math import isfinite
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.loggers import TensorBoardLogger
from tensorboard.compat.proto.summary_pb2 import Summary
from torch.utils.tensorboard import SummaryWriter

from lit_makemore.counts.baselines import Figures
from lit_makemore.diagnostics.figures import GUIDE
from lit_makemore.diagnostics.probe import hidden_of, network_of
from lit_makemore.diagnostics.tensorboard import tagged
from lit_makemore.files import write_text

POINTS = 200  # TensorBoard takes a line of two points for an outlier, and leaves it out


def draw_reference_lines(trainer: pl.Trainer, module: pl.LightningModule, data: Any) -> None:
    """Draws them beside the run of the first TensorBoardLogger, on the first process.

    Args:
        trainer: of the run.
        module: whose hidden weights have a line.
        data: the data module, with the losses of the count models.
    """
    loggers = [one for one in trainer.loggers if isinstance(one, TensorBoardLogger)]
    if not trainer.is_global_zero or not loggers:
        return
    best = data.baselines["kneser_ney"]
    levels = {"val/loss": best["val"], "val/loss_novel": best["val_novel"]}
    levels |= {f"counting/{name}": losses["val"] for name, losses in data.baselines.items()}
    lines = {name: level for name, level in levels.items() if level is not None}
    lines |= {f"update_ratio/{name}": GUIDE for name in hidden_of(network_of(module))}
    length = trainer.estimated_stepping_batches  # infinite where only the time is limited
    end = int(length) if isfinite(length) else trainer.global_step
    runs = Path(loggers[0].log_dir).parent
    folder = runs / "guides" / _list_name(data.path, data.baselines)
    draw(folder, tagged(loggers[0], lines), end)


def draw(folder: Path, lines: dict[str, float], end: int) -> None:
    """Draws level lines from 0 to a step, so far as the folder does not have them yet.

    A longer or deeper run makes its lines longer or more.

    Args:
        folder: where TensorBoard finds them.
        lines: the level of each line, by tag.
        end: the last step.
    """
    index = folder / "lines.json"  # where each line ends
    ends: dict[str, int] = json.loads(index.read_text()) if index.exists() else {}
    missing = {tag: level for tag, level in lines.items() if ends.get(tag, 0) < end}
    if not missing:
        return
    with SummaryWriter(str(folder)) as writer:
        for begin in {ends.get(tag, 0) for tag in missing}:
            values = [
                Summary.Value(tag=tag, simple_value=level)
                for tag, level in missing.items()
                if ends.get(tag, 0) == begin
            ]
            for i in range(POINTS + 1):
                step = begin + i * (end - begin) // POINTS
                writer.file_writer.add_summary(Summary(value=values), step)
    write_text(index, json.dumps({**ends, **dict.fromkeys(missing, end)}, indent=2) + "\n")


def _list_name(path: str, baselines: Mapping[str, Figures]) -> str:
    """The name of a word list; another split or window of it has another name."""
    rounded = {
        name: {split: loss and round(loss, 4) for split, loss in losses.items()}
        for name, losses in baselines.items()
    }
    return f"{Path(path).stem}-{sha256(json.dumps(rounded).encode()).hexdigest()[:4]}"

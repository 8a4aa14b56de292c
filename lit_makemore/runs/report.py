"""What a fit has reached: evaluated, written into its folder, told in words."""

import os
import platform
import re
import shlex
import subprocess
from collections.abc import Collection
from importlib.metadata import version
from math import exp
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from lit_makemore import __version__
from lit_makemore.counts.baselines import Figures, without_nan
from lit_makemore.counts.ngrams import KneserNey
from lit_makemore.diagnostics.checks import TABLE_WIDTH, Health
from lit_makemore.diagnostics.words import samples
from lit_makemore.model import NameModel
from lit_makemore.runs.tables import aligned, displayed_width
from lit_makemore.training.curves import TrainingCurves
from lit_makemore.training.datamodule import NamesDataModule
from lit_makemore.training.metrics import evaluate as losses_on
from lit_makemore.words.splits import known_words, repeated_words, whereabouts

LONGEST_SHOWN = 30  # characters
FEW = 20  # words of a split: with fewer, its loss is mostly chance
SPLITS = ("train", "val", "test", "val_novel", "test_novel")

Samples = list[tuple[str, str]]
"""Names, each with where it is found: train, held out, new, or cut if it did not end."""


class Result(NamedTuple):
    best: Figures  # of the best weights; of the last ones if the run kept no checkpoint
    final: Figures  # of the last weights
    kept: bool  # whether there are best weights
    net: NameModel  # what the best losses are of: the network, or its mixture with counts
    network: Figures | None  # of the network alone, if it is mixed with counts
    baselines: dict[str, Figures]  # of the count models, by name
    counts: KneserNey  # the best count model
    published: dict[str, float]  # losses on names.txt of what is re-implemented, and its steps
    steps: int  # updates that this run made
    words: tuple[int, int]  # how many val and test have


def evaluate(
    last: NameModel, best: NameModel | None, trainer: Any, published: dict[str, float]
) -> Result:
    """Evaluates the last weights and the best ones, each once; best is None if none were kept."""
    data: NamesDataModule = trainer.datamodule
    device = data.splits["train"].windows.device  # the Trainer leaves the network on the CPU
    net = (best or last).to(device)
    final = split_losses(last.to(device), data)
    of_best = final if net is last else split_losses(net, data)
    network = split_losses(net.net, data) if net.mixture is not None else None
    published = published if data.corpus.is_names else {}
    found = net.eval(), network, data.baselines, data.best_counts
    words = len(data.numbers[1]), len(data.numbers[2])
    return Result(of_best, final, best is not None, *found, published, trainer.global_step, words)


def split_losses(net: nn.Module, data: NamesDataModule) -> Figures:
    """The losses in nats over all examples of each split, and over its novel words."""
    figures: Figures = {}
    for split in SPLITS[:3]:
        found = losses_on(net, data.evaluation_loader(split))
        figures[split], figures[f"{split}_novel"] = found["loss"], found["loss_novel"]
    return without_nan(figures)


def draw_samples(net: nn.Module, data: NamesDataModule, num: int = 20) -> Samples:
    """Names in the order in which they are drawn."""
    draw = samples(net, data, num)
    return [
        (name, "cut" if cut else whereabouts(data.splits, name))
        for name, cut in zip(draw.names, draw.cut.tolist(), strict=True)
    ]


def facts(result: Result, health: Health | None, trainer: Any) -> dict[str, Any]:
    """The entries of summary.json about the run, its losses, data, machine and versions."""
    data, module = trainer.datamodule, trainer.lightning_module
    device = trainer.strategy.root_device
    curves = next(one for one in trainer.callbacks if isinstance(one, TrainingCurves))
    mixed, alone = result.net.mixture, result.network
    mixture = {**mixed.figures(), "network": _keyed(alone)} if mixed and alone else {}
    versions = {"lit_makemore": __version__, "python": platform.python_version()}
    packages = ("torch", "lightning", "torchmetrics", "tensorboard")
    return {
        "steps": trainer.global_step,
        "batch_size": data.batch_size,
        "block_size": data.block_size,
        "lr": module.hparams["lr"],
        "threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "engine": module.engine,
        "precision": str(trainer.precision),
        "steps_per_s": round(curves.steps_per_s, 1),
        **({"health": health.summary()} if health else {}),
        **mixture,
        "params": sum(p.numel() for p in result.net.parameters()),
        **_keyed(result.best),
        "final": _keyed(result.final),
        "baselines": result.baselines,
        "kneser_ney": {"order": result.counts.order, "discount": result.counts.discount},
        "data": {
            "path": data.path,
            "sha256": data.corpus.sha256,
            "words": data.corpus.n_words,
            "blank_lines": data.corpus.blank_lines,
            "repeated_words": repeated_words(data.splits),
            "vocab_size": len(data.vocab),
            "known_words": {name: known_words(data.splits, name) for name in ("val", "test")},
        },
        "machine": f"{os.cpu_count()} cores, {cpu_name()}",
        "versions": versions | {name: version(name) for name in packages},
        "git_commit": git_commit(),
    }


def cpu_name() -> str:
    """The name of the processor as the machine gives it, as "Intel(R) Xeon(R)"."""
    info = Path("/proc/cpuinfo")
    found = re.search(r"^model name\s*: (.*)", info.read_text() if info.exists() else "", re.M)
    return found[1].strip() if found else platform.processor() or platform.machine()


def git_commit() -> str | None:
    """The commit of this program, with "-dirty" if the tree differs; None outside a checkout."""
    package = Path(__file__).parents[1]
    if not (package.parent / "train.py").exists():  # installed, perhaps inside another repository
        return None
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    try:
        done = subprocess.run(
            command, cwd=package, capture_output=True, errors="replace", check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _keyed(figures: Figures) -> Figures:
    """The keys of summary.json: val_novel becomes val_loss_novel."""
    return {f"{key}_loss".replace("_novel_loss", "_loss_novel"): x for key, x in figures.items()}


def text(result: Result, health: Health | None, names: Samples, folder: Path) -> str:
    """The closing tables of a fit; health is None without a monitor."""
    order, mixture, published = result.counts.order, result.net.mixture, result.published
    rows = {"best weights" if result.kept else "last weights": result.best}
    if result.network:
        rows = {"mixture": result.best, "network alone": result.network}
    before = "one character" if order == 1 else f"up to {order} characters"
    said = [
        f"kneser_ney: {before} before the next one, discount {result.counts.discount}; "
        "the val words chose both",
        *(mixture.sentences() if mixture is not None else []),
    ]
    if published:
        rows["published"] = {split: published.get(split) for split in SPLITS}
        after = f"after {published['steps']:,.0f} updates; this run made {result.steps:,}"
        said.append(f"published: by what this configuration re-implements, {after}")
    few = "\n(val words: {:,}, test words: {:,}; so few say little)".format(*result.words)
    parts = [
        headline(result, health.failed if health else None) + few * (min(result.words) < FEW),
        table({**rows, **result.baselines}),
        *(f"({sentence})" for sentence in said),
        columns(names),
        *([health.table()] if health else []),
        f"\nresults: {folder} (summary.json, samples.txt, checkpoints/)",
        f"see them with: tensorboard --logdir {shlex.quote(str(folder.parent))}",
    ]
    return "\n".join(parts)


def headline(result: Result, failed: Collection[str] | None) -> str:
    """What the run has reached, in words; failed has the checks, None if nothing was judged."""
    split, of = "test", " (mixture)" if result.network else ""  # the test words chose nothing
    if result.published.get("steps") == result.steps:  # a published loss is that of val words
        split, of = "val", f"{of} (published {result.published['val']:.4f})"
    loss, counting = result.best[split], result.baselines["kneser_ney"][split]
    reached = f"{split} unknown"
    if loss is not None and counting is not None:
        percent = 100 * (loss / counting - 1)
        than = f"{abs(percent):,.1f} % {'worse' if percent > 0 else 'better'} than"
        if abs(percent) < 0.05:
            than = "as good as"
        reached = f"{split} {number(loss, 4)}{of}: {than} counting (Kneser–Ney {counting:.4f})"
    if not failed:
        return f"{reached}; " + ("health not judged" if failed is None else "healthy")
    line = f"{reached}; not healthy ({', '.join(failed)})"
    return line if len(line) <= TABLE_WIDTH else f"{reached}; not healthy ({len(failed)} checks)"


def table(rows: dict[str, Figures]) -> str:
    """Losses as lines of text, below the first row its perplexities."""
    cells = [[f"{'nats':<14}", *(f"{split.replace('_', ', '):>7}" for split in SPLITS)]]
    for name, figures in rows.items():
        cells.append([name, *(number(figures[split], 4) for split in SPLITS)])
        if len(cells) == 2:
            perplexity = {k: v if v is None else exp(min(v, 700.0)) for k, v in figures.items()}
            cells.append(["its perplexity", *(number(perplexity[split], 3) for split in SPLITS)])
    return "\n" + aligned(cells)


def number(value: float | None, digits: int) -> str:
    """A number of at most 9 columns; "3.2e+30" if it is large."""
    if value is None:
        return "–"
    return f"{value:.{digits}f}" if value < 1e4 else f"{value:.1e}"


def columns(names: Samples) -> str:
    """The names in columns, each with a mark for where it is found; long ones are shortened."""
    mark = {"train": "=", "held out": "~", "new": " ", "cut": " "}
    cells = []
    for name, where in names:
        short = name if len(name) <= LONGEST_SHOWN else name[: LONGEST_SHOWN - 1] + "…"
        cells.append(f"{mark[where]} {short}")
    width = max(map(displayed_width, cells), default=0) + 1
    cells = [cell + " " * (width - displayed_width(cell)) for cell in cells]
    across = min(5, TABLE_WIDTH // width)
    lines = ["".join(cells[i : i + across]).rstrip() for i in range(0, len(cells), across)]
    marks = "(= a training word, ~ a val or test word, others new; drawn with --top_p 1)"
    return "\n".join(["", *lines, marks])

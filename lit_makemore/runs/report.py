"""What a fit has reached: evaluated, written into its folder, told in words."""

import os
import platform
import re
import shlex
import subprocess
from collections.abc import Collection
from contextlib import suppress
from importlib.metadata import version
from math import exp
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from lit_makemore import __version__
from lit_makemore.counts.baselines import Figures, without_nan
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
PACKAGES = ("torch", "lightning", "torchmetrics", "tensorboard")
MARKS = {"train": "=", "held out": "~", "new": " ", "cut": " "}

Samples = list[tuple[str, str]]
"""Names, each with where it is found: train, held out, new, or cut if it did not end."""


class Result(NamedTuple):
    best: Figures  # of the best weights; of the last ones if the run kept no checkpoint
    final: Figures  # of the last weights
    kept: bool  # whether there are best weights
    net: NameModel  # what the best losses are of: the network, or its mixture with counts
    network: Figures | None  # of the network alone, if it is mixed with counts
    data: NamesDataModule
    published: dict[str, float]  # losses on names.txt of what is re-implemented, and its steps
    steps: int  # updates that this run made


def evaluate(last: NameModel, best: NameModel | None, trainer: Any, published: Any) -> Result:
    """Evaluates the last weights and the best ones, each once; best is None if none were kept."""
    data: NamesDataModule = trainer.datamodule
    device = data.splits["train"].windows.device  # the Trainer leaves the network on the CPU
    net = (best or last).to(device)
    final = split_losses(last.to(device), data)
    of_best = final if net is last else split_losses(net, data)
    network = split_losses(net.net, data) if net.mixture is not None else None
    published = published if data.corpus.is_names else {}
    steps = trainer.global_step
    return Result(of_best, final, best is not None, net.eval(), network, data, published, steps)


def split_losses(net: nn.Module, data: NamesDataModule) -> Figures:
    """The losses in nats over all examples of each split, and over its novel words."""
    figures: Figures = {}
    for split in SPLITS[:3]:
        found = losses_on(net, data.evaluation_loader(split))
        figures[split], figures[f"{split}_novel"] = found["loss"], found["loss_novel"]
    return without_nan(figures)


def draw_samples(net: nn.Module, data: NamesDataModule, num: int = 20) -> Samples:
    draw = samples(net, data, num)
    drawn = zip(draw.names, draw.cut.tolist(), strict=True)
    return [(name, "cut" if cut else whereabouts(data.splits, name)) for name, cut in drawn]


def facts(result: Result, health: Health | None, trainer: Any) -> dict[str, Any]:
    """The entries of summary.json about the run, its losses, data, machine and versions."""
    data, module, device = result.data, trainer.lightning_module, trainer.strategy.root_device
    curves = next(one for one in trainer.callbacks if isinstance(one, TrainingCurves))
    mixed, alone = result.net.mixture, result.network
    mixture = {**mixed.figures(), "network": _keyed(alone)} if mixed and alone else {}
    versions = {"lit_makemore": __version__, "python": platform.python_version()}
    return {
        "steps": result.steps,
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
        "baselines": data.baselines,
        "kneser_ney": {"order": data.best_counts.order, "discount": data.best_counts.discount},
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
        "versions": versions | {name: version(name) for name in PACKAGES},
        "git_commit": git_commit(),
    }


def cpu_name() -> str:
    """The name of the processor as the machine gives it, as "Intel(R) Xeon(R)"."""
    info = Path("/proc/cpuinfo")
    found = re.search(r"^model name\s*: (.*)", info.read_text() if info.exists() else "", re.M)
    return found[1].strip() if found else platform.processor() or platform.machine()


def git_commit() -> str | None:
    """The commit of this program, with "-dirty" if the tree differs; None outside a checkout."""
    root = Path(__file__).parents[2]
    if not (root / "train.py").exists():  # installed, perhaps inside another repository
        return None
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    with suppress(OSError, subprocess.SubprocessError):
        quiet = subprocess.DEVNULL
        return subprocess.check_output(command, cwd=root, stderr=quiet, errors="replace").strip()
    return None


def _keyed(figures: Figures) -> Figures:
    """The keys of summary.json: val_novel becomes val_loss_novel."""
    return {f"{key}_loss".replace("_novel_loss", "_loss_novel"): x for key, x in figures.items()}


def text(result: Result, health: Health | None, names: Samples, folder: Path) -> str:
    """The closing tables of a fit; health is None without a monitor."""
    counts, mixture, published = result.data.best_counts, result.net.mixture, result.published
    rows = {"best weights" if result.kept else "last weights": result.best}
    if result.network:
        rows = {"mixture": result.best, "network alone": result.network}
    before = "one character" if counts.order == 1 else f"up to {counts.order} characters"
    chosen = f"{before} before the next one, discount {counts.discount}; the val words chose both"
    said = [f"kneser_ney: {chosen}", *(mixture.sentences() if mixture is not None else [])]
    if published:
        rows["published"] = {split: published.get(split) for split in SPLITS}
        after = f"after {published['steps']:,.0f} updates; this run made {result.steps:,}"
        said.append(f"published: by what this configuration re-implements, {after}")
    lines = [headline(result, health.failed if health else None)]
    val, test = (len(words) for words in result.data.numbers[1:])
    if min(val, test) < FEW:
        lines.append(f"(val words: {val:,}, test words: {test:,}; so few say little)")
    lines += [table({**rows, **result.data.baselines}), *(f"({one})" for one in said)]
    lines += [columns(names), *([health.table()] if health else [])]
    lines.append(f"\nresults: {folder} (summary.json, samples.txt, checkpoints/)")
    return "\n".join(
        [*lines, f"see them with: tensorboard --logdir {shlex.quote(str(folder.parent))}"]
    )


def headline(result: Result, failed: Collection[str] | None) -> str:
    """What the run has reached, in words; failed has the checks, None if nothing was judged."""
    split, of = "test", " (mixture)" if result.network else ""  # the test words chose nothing
    if result.published.get("steps") == result.steps:  # a published loss is that of val words
        split, of = "val", f"{of} (published {result.published['val']:.4f})"
    loss, counting = result.best[split], result.data.baselines["kneser_ney"][split]
    reached = f"{split} unknown"
    if loss is not None and counting is not None:
        percent = 100 * (loss / counting - 1)
        than = f"{abs(percent):,.1f} % {'worse' if percent > 0 else 'better'} than"
        than = "as good as" if abs(percent) < 0.05 else than
        reached = f"{split} {number(loss, 4)}{of}: {than} counting (Kneser–Ney {counting:.4f})"
    if not failed:
        return f"{reached}; " + ("health not judged" if failed is None else "healthy")
    line = f"{reached}; not healthy ({', '.join(failed)})"
    return line if len(line) <= TABLE_WIDTH else f"{reached}; not healthy ({len(failed)} checks)"


def table(rows: dict[str, Figures]) -> str:
    """Losses as lines of text, below the first row its perplexities."""
    cells = [[f"{'nats':<14}", *(f"{split.replace('_', ', '):>7}" for split in SPLITS)]]
    cells += [[name, *(number(row[split], 4) for split in SPLITS)] for name, row in rows.items()]
    best = next(iter(rows.values()))
    perplexities = {k: None if x is None else exp(min(x, 700.0)) for k, x in best.items()}
    cells.insert(2, ["its perplexity", *(number(perplexities[split], 3) for split in SPLITS)])
    return "\n" + aligned(cells)


def number(value: float | None, digits: int) -> str:
    """A number of at most 9 columns; "3.2e+30" if it is large."""
    if value is None:
        return "–"
    return f"{value:.{digits}f}" if value < 1e4 else f"{value:.1e}"


def columns(names: Samples) -> str:
    """The names in columns, each with a mark for where it is found; long ones are shortened."""
    cut = LONGEST_SHOWN - 1
    shown = [(name if len(name) <= cut + 1 else f"{name[:cut]}…", where) for name, where in names]
    cells = [f"{MARKS[where]} {name}" for name, where in shown]
    width = max(map(displayed_width, cells), default=0) + 1
    cells = [cell + " " * (width - displayed_width(cell)) for cell in cells]
    across = min(5, TABLE_WIDTH // width)
    lines = ["".join(cells[i : i + across]).rstrip() for i in range(0, len(cells), across)]
    marks = "(= a training word, ~ a val or test word, others new; drawn with --top_p 1)"
    return "\n".join(["", *lines, marks])

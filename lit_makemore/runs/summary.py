"""What a fit reached: evaluated, sampled, written to summary.json and samples.txt, as a text."""

import json
import os
import platform
import subprocess
from collections.abc import Collection
from dataclasses import dataclass
from importlib.metadata import version
from math import exp
from pathlib import Path
from typing import Any
from unicodedata import category, combining, east_asian_width

import torch
from torch import nn

from lit_makemore import __version__, checkpoint
from lit_makemore.atomic import write_text
from lit_makemore.counts.baselines import Figures, without_nan
from lit_makemore.counts.mixture import Mixture
from lit_makemore.counts.ngrams import KneserNey
from lit_makemore.diagnostics.health import TABLE_WIDTH
from lit_makemore.network.sampling import Sampler
from lit_makemore.training.datamodule import NamesDataModule
from lit_makemore.training.metrics import evaluate
from lit_makemore.words.splits import known_words, repeated_words, whereabouts

SAMPLE_SEED = 2147483647  # the lecture's
LONGEST_SHOWN = 30  # columns


@dataclass(frozen=True)
class Result:
    """The losses of a run, in nats.

    Args:
        best: of the best weights; of the last ones if the run kept no checkpoint.
        final: of the last weights.
        kept: whether there are best weights.
        net: what the best losses are of: the network, or its mixture with counts.
        network: the losses of the network alone, if it is mixed with counts.
        baselines: the losses of the count models, by name.
        counts: the best count model, Kneser–Ney.
    """

    best: Figures
    final: Figures
    kept: bool
    net: nn.Module
    network: Figures | None
    baselines: dict[str, Figures]
    counts: KneserNey


def evaluate_run(net: nn.Module, data: NamesDataModule, best: Path | None) -> Result:
    """Evaluates the last weights and the best ones.

    Args:
        net: the network with its last weights, or its mixture with counts.
        data: the splits.
        best: the checkpoint with the best weights; None if the run kept none.
    """
    device = data.splits["train"].windows.device  # the Trainer leaves the network on the CPU
    net = net.to(device)
    final = split_losses(net, data)
    best_net = checkpoint.load(best).predictor.to(device) if best else net
    return Result(
        best=split_losses(best_net, data) if best else final,
        final=final,
        kept=best is not None,
        net=best_net.eval(),
        network=split_losses(best_net.net, data) if isinstance(best_net, Mixture) else None,
        baselines=data.baselines,
        counts=data.best_counts,
    )


def split_losses(net: nn.Module, data: NamesDataModule) -> Figures:
    """The losses in nats over all examples of each split, and over its novel words."""
    figures: Figures = {}
    for split in ("train", "val", "test"):
        found = evaluate(net, data.evaluation_loader(split))
        figures[split], figures[f"{split}_novel"] = found["loss"], found["loss_novel"]
    return without_nan(figures)


def draw_samples(net: nn.Module, data: NamesDataModule, num: int = 20) -> list[tuple[str, str]]:
    """Names in the order in which they are drawn, each with where it is found in the word list."""
    longest = data.splits["train"].longest
    # No more than are shown: a network that never ends a name would take minutes for thousands.
    sampler = Sampler(net, data.vocab, data.block_size, longest=longest, batch=num)
    draw = next(sampler.draw(num, torch.Generator().manual_seed(SAMPLE_SEED)))
    return [
        (name, "cut" if cut else whereabouts(data.splits, name))
        for name, cut in zip(draw.names, draw.cut.tolist(), strict=True)
    ]


def facts_of(result: Result, data: NamesDataModule) -> dict[str, Any]:
    """The entries of summary.json about losses, data, machine and versions."""
    mixture: dict[str, Any] = {}
    if isinstance(result.net, Mixture) and result.network:
        mixture = {"mixture_weight": result.net.weight, "network": _keyed(result.network)}
    versions = {name: version(name) for name in ("torch", "lightning", "torchmetrics")}
    return {
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
        "versions": {
            "lit_makemore": __version__,
            "python": platform.python_version(),
            **versions,
            "tensorboard": version("tensorboard"),
        },
        "git_commit": git_commit(),
    }


def write(folder: Path, facts: dict[str, Any], samples: list[tuple[str, str]]) -> None:
    """Writes summary.json and samples.txt."""
    write_text(folder / "summary.json", json.dumps(facts, indent=2) + "\n")
    lines = [f"{name}\t{where}\n" for name, where in samples]
    write_text(folder / "samples.txt", "".join(lines))


def headline(result: Result, failed: Collection[str] | None) -> str:
    """What the run has reached, in words.

    Args:
        result: the losses of the run.
        failed: the checks of the monitors that have failed; None if nothing was judged.
    """
    val, counting = result.best["val"], result.baselines["kneser_ney"]["val"]
    reached = "val unknown"
    if val is not None and counting is not None:
        percent = 100 * (val / counting - 1)
        than = f"{abs(percent):,.1f} % {'worse' if percent > 0 else 'better'} than"
        than = "as good as" if abs(percent) < 0.05 else than
        reached = f"val {number(val, 4)}: {than} counting (Kneser–Ney {counting:.4f})"
    if failed is None:
        return f"{reached}; health not judged"
    if not failed:
        return f"{reached}; healthy"
    line = f"{reached}; not healthy ({', '.join(failed)})"
    return line if len(line) <= TABLE_WIDTH else f"{reached}; not healthy ({len(failed)} checks)"


def text(result: Result, samples: list[tuple[str, str]]) -> str:
    """The closing table of the losses, and the names."""
    rows = {"best weights" if result.kept else "last weights": result.best}
    if result.network:
        rows["network alone"] = result.network
    order, discount = result.counts.order, result.counts.discount
    before = "one character" if order == 1 else f"up to {order} characters"
    parts = [table({**rows, **result.baselines})]
    parts.append(
        f"(kneser_ney: {before} before the next one, discount {discount}; the val words chose both)"
    )
    if isinstance(result.net, Mixture):
        weight = result.net.weight
        parts.append(
            f"(predictions mix {weight:.2f} of the network with {1 - weight:.2f} of Kneser–Ney; "
            "the val words chose these weights)"
        )
    return "\n".join([*parts, columns(samples)])


def table(rows: dict[str, Figures]) -> str:
    """Losses as lines of text, below the first row its perplexities."""
    widths = {"train": 9, "val": 9, "test": 9, "val_novel": 12, "test_novel": 12}
    titles = (split.replace("_", ", ") for split in widths)
    cells = zip(titles, widths.values(), strict=True)
    lines = [f"\n{'nats':<14}" + "".join(f"{title:>{width}}" for title, width in cells)]

    def line(name: str, figures: Figures, digits: int) -> str:
        texts = {k: "–" if v is None else number(v, digits) for k, v in figures.items()}
        return f"{name:<14}" + "".join(f"{texts[k]:>{width}}" for k, width in widths.items())

    for name, figures in rows.items():
        lines.append(line(name, figures, 4))
        if len(lines) == 2:
            perplexity = {k: v if v is None else exp(min(v, 700.0)) for k, v in figures.items()}
            lines.append(line("perplexity", perplexity, 3))
    return "\n".join(lines)


def number(value: float, digits: int) -> str:
    """A number of at most 9 columns; "3.2e+30" if it is large."""
    return f"{value:.{digits}f}" if value < 1e4 else f"{value:.1e}"


def columns(samples: list[tuple[str, str]]) -> str:
    """The names in columns, each with a mark for where it is found; long ones are shortened."""
    mark = {"train": "=", "held out": "~", "new": " ", "cut": " "}
    names = [shortened(name, LONGEST_SHOWN) for name, _ in samples]
    width = max(map(displayed_width, names), default=0) + 3
    cells = [
        f"{mark[where]} {name}" + " " * (width - 2 - displayed_width(name))
        for name, (_, where) in zip(names, samples, strict=True)
    ]
    across = min(5, TABLE_WIDTH // width)
    lines = ["".join(cells[i : i + across]).rstrip() for i in range(0, len(cells), across)]
    return "\n" + "\n".join(lines) + "\n(= a training word, ~ a val or test word, others new)"


def shortened(name: str, width: int) -> str:
    """The name, with … for what does not fit into a width."""
    if displayed_width(name) <= width:
        return name
    while displayed_width(name) >= width:
        name = name[: min(width, len(name) - 1)]
    return name + "…"


def displayed_width(text: str) -> int:
    """The columns of a terminal that a text takes: two for a Chinese character or an emoji."""
    return sum(
        0 if combining(c) or category(c) == "Cf" else 1 + (east_asian_width(c) in "WF")
        for c in text
    )


def _keyed(figures: Figures) -> Figures:
    """The keys of summary.json: val_novel becomes val_loss_novel."""
    return {
        f"{split.removesuffix('_novel')}_loss{'_novel' if split.endswith('_novel') else ''}": loss
        for split, loss in figures.items()
    }


def cpu_name() -> str:
    """The name of the processor as the machine gives it, as "Intel(R) Xeon(R)"."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(
            line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")
        )
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def git_commit() -> str | None:
    """The commit of this program, with "-dirty" if the tree differs; None outside a checkout."""
    package = Path(__file__).parents[1]
    if not (package.parent / "train.py").exists():  # installed, perhaps inside another repository
        return None
    try:
        command = ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
        done = subprocess.run(
            command, cwd=package, capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()

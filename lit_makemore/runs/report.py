"""What a fit has reached: evaluated, judged, written into its folder, told in words."""

import json
from collections.abc import Collection
from dataclasses import dataclass
from math import exp
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from torch import nn

from lit_makemore.counts.baselines import Figures, without_nan
from lit_makemore.counts.ngrams import KneserNey
from lit_makemore.diagnostics.checks import TABLE_WIDTH, Health
from lit_makemore.diagnostics.monitor import Monitor
from lit_makemore.files import write_text
from lit_makemore.model import NameModel
from lit_makemore.runs.machine import machine_facts
from lit_makemore.runs.tables import displayed_width, shortened
from lit_makemore.sampling.sampler import Sampler
from lit_makemore.training.curves import TrainingCurves
from lit_makemore.training.datamodule import NamesDataModule
from lit_makemore.training.metrics import evaluate as losses_on
from lit_makemore.words.splits import known_words, repeated_words, whereabouts

SAMPLE_SEED = 2147483647  # the lecture's
LONGEST_SHOWN = 30  # columns

Samples = list[tuple[str, str]]
"""Names, each with where it is found: train, held out, new, or cut if it did not end."""


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
    net: NameModel
    network: Figures | None
    baselines: dict[str, Figures]
    counts: KneserNey


@dataclass(frozen=True)
class Report:
    """What a fit has reached.

    Args:
        result: its losses.
        health: what its monitors have judged; None without them.
        samples: names that it draws.
        folder: its run folder.
    """

    result: Result
    health: Health | None
    samples: Samples
    folder: Path


# Evaluate


def evaluate(last: NameModel, best: NameModel | None, data: NamesDataModule) -> Result:
    """Evaluates the last weights and the best ones, each once.

    Args:
        last: the network with its last weights, or its mixture with counts.
        best: the same with the best weights, or `last` itself; None if the run kept none.
        data: the splits.
    """
    device = data.splits["train"].windows.device  # the Trainer leaves the network on the CPU
    net = (best or last).to(device)
    final = split_losses(last.to(device), data)
    return Result(
        best=final if net is last else split_losses(net, data),
        final=final,
        kept=best is not None,
        net=net.eval(),
        network=split_losses(net.net, data) if net.mixture is not None else None,
        baselines=data.baselines,
        counts=data.best_counts,
    )


def split_losses(net: nn.Module, data: NamesDataModule) -> Figures:
    """The losses in nats over all examples of each split, and over its novel words."""
    figures: Figures = {}
    for split in ("train", "val", "test"):
        found = losses_on(net, data.evaluation_loader(split))
        figures[split], figures[f"{split}_novel"] = found["loss"], found["loss_novel"]
    return without_nan(figures)


def draw_samples(net: nn.Module, data: NamesDataModule, num: int = 20) -> Samples:
    """Names in the order in which they are drawn."""
    longest = data.splits["train"].longest
    # No more than are shown: a network that never ends a name would take minutes for thousands.
    sampler = Sampler(net, data.vocab, data.block_size, longest=longest, batch=num)
    draw = next(sampler.draw(num, torch.Generator().manual_seed(SAMPLE_SEED)))
    return [
        (name, "cut" if cut else whereabouts(data.splits, name))
        for name, cut in zip(draw.names, draw.cut.tolist(), strict=True)
    ]


# Judge


def judge(result: Result, trainer: pl.Trainer) -> Health | None:
    """The verdicts of the run, with those of the whole run; None without a monitor."""
    monitor = _callback(trainer, Monitor)
    return monitor and monitor.close(trainer, result.net, result.best["val"])


# Write


def facts(result: Result, health: Health | None, trainer: pl.Trainer) -> dict[str, Any]:
    """The entries of summary.json about the run, its losses, data, machine and versions."""
    data: Any = trainer.datamodule  # type: ignore[attr-defined]
    module: Any = trainer.lightning_module
    mixture: dict[str, Any] = {}
    if result.net.mixture is not None and result.network:
        mixture = {**result.net.mixture.figures(), "network": _keyed(result.network)}
    return {
        "steps": trainer.global_step,
        "batch_size": data.batch_size,
        "block_size": data.block_size,
        "lr": module.hparams["lr"],
        "threads": torch.get_num_threads(),
        "engine": module.engine,
        "precision": str(trainer.precision),
        "steps_per_s": round(_callback(trainer, TrainingCurves).steps_per_s, 1),
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
        **machine_facts(),
    }


def write(folder: Path, entries: dict[str, Any], samples: Samples) -> None:
    """Writes summary.json and samples.txt."""
    write_text(folder / "summary.json", json.dumps(entries, indent=2) + "\n")
    lines = [f"{name}\t{where}\n" for name, where in samples]
    write_text(folder / "samples.txt", "".join(lines))


def _keyed(figures: Figures) -> Figures:
    """The keys of summary.json: val_novel becomes val_loss_novel."""
    return {
        f"{split.removesuffix('_novel')}_loss{'_novel' if split.endswith('_novel') else ''}": loss
        for split, loss in figures.items()
    }


def _callback(trainer: pl.Trainer, kind: type) -> Any:
    callbacks: list[pl.Callback] = trainer.callbacks  # type: ignore[attr-defined]
    return next((one for one in callbacks if isinstance(one, kind)), None)


# Format


def text(report: Report) -> str:
    """The closing tables of a fit."""
    result, health, folder = report.result, report.health, report.folder
    rows = {"best weights" if result.kept else "last weights": result.best}
    if result.network:
        rows["network alone"] = result.network
    parts = [
        headline(result, health.failed if health else None),
        table({**rows, **result.baselines}),
        *_about_counts(result),
        columns(report.samples),
        *([health.table()] if health else []),
        f"\nresults: {folder} (summary.json, samples.txt, checkpoints/)",
        f"see them with: tensorboard --logdir {folder.parent}",
    ]
    return "\n".join(parts)


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


def _about_counts(result: Result) -> list[str]:
    """What the val words have chosen, a line each."""
    order, discount = result.counts.order, result.counts.discount
    before = "one character" if order == 1 else f"up to {order} characters"
    lines = [
        f"(kneser_ney: {before} before the next one, discount {discount}; the val words chose both)"
    ]
    if result.net.mixture is not None:
        lines += [f"({said})" for said in result.net.mixture.sentences()]
    return lines


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


def columns(samples: Samples) -> str:
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

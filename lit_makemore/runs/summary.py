"""What a fit reached: the closing table, summary.json and samples.txt."""

import json
import os
import platform
import subprocess
from importlib.metadata import version
from math import exp
from pathlib import Path
from typing import Any

import torch
from torch import nn

from lit_makemore import __version__, checkpoint
from lit_makemore.atomic import write_text
from lit_makemore.counts.mixture import Mixture
from lit_makemore.network.sampling import Sampler
from lit_makemore.runs.folder import Run
from lit_makemore.training.datamodule import Figures, NamesDataModule, without_nan
from lit_makemore.training.evaluation import losses

SAMPLE_SEED = 2147483647  # the lecture's


def close(
    run: Run,
    net: nn.Module,
    data: NamesDataModule,
    facts: dict[str, Any],
    weights: Path | None = None,
    closing: str = "",
) -> None:
    """Evaluates best and last weights, draws 20 names; writes both into the folder, prints them.

    Args:
        run: the folder.
        net: the network with its last weights, or its mixture with counts.
        data: the splits.
        facts: entries of summary.json that only the caller knows.
        weights: the best checkpoint; None if the run kept none: the last weights are all there is.
        closing: lines to print after the names.
    """
    device = data.splits["train"].windows.device  # the Trainer leaves the network on the CPU
    net = net.to(device)
    final = evaluate(net, data)
    best_net = checkpoint.load(weights).predictor.to(device) if weights else net
    best = evaluate(best_net, data) if weights else final
    alone: dict[str, Figures] = {}
    if isinstance(best_net, Mixture):
        alone = {"network alone": evaluate(best_net.net, data)}
        facts = {**facts, "mixture_weight": best_net.weight}
        facts["network"] = {_key(split): loss for split, loss in alone["network alone"].items()}
    counted = data.baselines
    generator = torch.Generator().manual_seed(SAMPLE_SEED)
    sampler = Sampler(best_net.eval(), data.vocab, data.block_size)
    names = next(sampler.draw(20, generator)).names
    marks = [data.whereabouts(name) for name in names]

    summary = {
        "name": run.path.name,
        **facts,
        "params": sum(p.numel() for p in net.parameters()),
        **{_key(split): figure for split, figure in best.items()},
        "final": {_key(split): figure for split, figure in final.items()},
        "baselines": counted,
        "data": {
            "path": data.path,
            "sha256": data.corpus.sha256,
            "words": data.corpus.n_words,
            "blank_lines": data.corpus.blank_lines,
            "vocab_size": len(data.vocab),
            "known_words": {name: data.known_words(name) for name in ("val", "test")},
        },
        "machine": f"{os.cpu_count()} cores, {cpu_name()}",
        "versions": {
            "lit_makemore": __version__,
            "python": platform.python_version(),
            **{
                name: version(name)
                for name in ("torch", "lightning", "torchmetrics", "tensorboard")
            },
        },
        "git_commit": git_commit(),
    }
    write_text(run.path / "summary.json", json.dumps(summary, indent=2) + "\n")
    lines = [f"{name}\t{mark}" for name, mark in zip(names, marks, strict=True)]
    write_text(run.path / "samples.txt", "\n".join(lines) + "\n")
    print(table({f"{'best' if weights else 'last'} weights": best, **alone, **counted}))
    if isinstance(best_net, Mixture):
        share = f"{best_net.weight:.2f} · network + {1 - best_net.weight:.2f} · Kneser–Ney"
        print(f"(these weights are mixed with counts: {share}, as chosen on the val words)")
    print(columns(names, marks))
    if closing:
        print(closing)
    print(
        f"\n{run.path}: summary.json, samples.txt, checkpoints/; "
        f"see it with: tensorboard --logdir {run.path.parent}"
    )


def evaluate(net: nn.Module, data: NamesDataModule) -> Figures:
    """A network's losses in nats over all examples of each split, and over novel words."""
    figures: Figures = {}
    for split in ("train", "val", "test"):
        figures[split], figures[f"{split}_novel"] = losses(net, data.evaluation_loader(split))
    return without_nan(figures)


def _key(split: str) -> str:
    """val_novel to val_loss_novel."""
    return split.replace("_novel", "") + "_loss" + ("_novel" if "_novel" in split else "")


def table(rows: dict[str, Figures]) -> str:
    """Losses as lines of text, below the first row its perplexities."""
    widths = {"train": 9, "val": 9, "test": 9, "val_novel": 12, "test_novel": 12}
    titles = (split.replace("_", ", ") for split in widths)
    cells = zip(titles, widths.values(), strict=True)
    lines = [f"\n{'nats':<14}" + "".join(f"{title:>{width}}" for title, width in cells)]

    def line(name: str, figures: Figures, digits: int) -> str:
        texts = {k: "–" if v is None else f"{v:.{digits}f}" for k, v in figures.items()}
        return f"{name:<14}" + "".join(f"{texts[k]:>{width}}" for k, width in widths.items())

    for name, figures in rows.items():
        lines.append(line(name, figures, 4))
        if len(lines) == 2:
            perplexity = {k: v if v is None else exp(min(v, 700.0)) for k, v in figures.items()}
            lines.append(line("perplexity", perplexity, 3))
    return "\n".join(lines)


def columns(names: list[str], marks: list[str]) -> str:
    """The names in columns, each with a mark for where its word is found."""
    sign = {"train": "=", "held out": "~", "new": " "}
    width = max(map(len, names), default=0) + 3
    cells = [f"{sign[mark]} {name}".ljust(width) for name, mark in zip(names, marks, strict=True)]
    lines = ["".join(cells[i : i + 5]).rstrip() for i in range(0, len(cells), 5)]
    return "\n" + "\n".join(lines) + "\n(= in the training words, ~ in val or test, others new)"


def cpu_name() -> str:
    """The processor's name as the machine gives it, as "Intel(R) Xeon(R)"."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(
            line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")
        )
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def git_commit() -> str | None:
    """The commit of this program, with "-dirty" if the tree differs; None outside a checkout."""
    here = Path(__file__).parents[1]
    if not (here.parent / "train.py").exists():  # installed, perhaps inside another repository
        return None
    try:
        command = ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
        done = subprocess.run(
            command, cwd=here, capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()

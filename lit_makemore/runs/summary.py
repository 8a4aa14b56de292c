"""What a fit reached: evaluated, sampled, written to summary.json and samples.txt."""

import json
import os
import platform
import subprocess
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import nn

from lit_makemore import __version__
from lit_makemore import model as checkpoint
from lit_makemore.counts.baselines import Figures, without_nan
from lit_makemore.counts.ngrams import KneserNey
from lit_makemore.files import write_text
from lit_makemore.model import NameModel
from lit_makemore.sampling.sampler import Sampler
from lit_makemore.training.datamodule import NamesDataModule
from lit_makemore.training.metrics import evaluate
from lit_makemore.words.splits import known_words, repeated_words, whereabouts

SAMPLE_SEED = 2147483647  # the lecture's


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


def evaluate_run(net: NameModel, data: NamesDataModule, best: Path | None) -> Result:
    """Evaluates the last weights and the best ones.

    Args:
        net: the network with its last weights, or its mixture with counts.
        data: the splits.
        best: the checkpoint with the best weights; None if the run kept none.
    """
    device = data.splits["train"].windows.device  # the Trainer leaves the network on the CPU
    net = net.to(device)
    final = split_losses(net, data)
    best_net = checkpoint.load(best).to(device) if best else net
    return Result(
        best=split_losses(best_net, data) if best else final,
        final=final,
        kept=best is not None,
        net=best_net.eval(),
        network=split_losses(best_net.net, data) if best_net.mixture is not None else None,
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
    if result.net.mixture is not None and result.network:
        mixture = {**result.net.mixture.figures(), "network": _keyed(result.network)}
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

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

from lit_makemore import __version__, checkpoint
from lit_makemore.data import NamesDataModule
from lit_makemore.evaluation import losses
from lit_makemore.mlp import MLP
from lit_makemore.run import Run
from lit_makemore.sampling import sample

SPLITS = ("train", "val", "test")
SAMPLE_SEED = 2147483647  # the lecture's


def close(
    run: Run, net: MLP, data: NamesDataModule, facts: dict[str, Any], weights: Path | None = None
) -> None:
    """Evaluates best and last weights, draws 20 names; writes both into the folder, prints them.

    Args:
        run: the folder.
        net: the network with its last weights.
        data: the splits.
        facts: entries of summary.json that only the caller knows.
        weights: the best checkpoint; None if the run kept none: the last weights are all there is.
    """
    device = next(net.parameters()).device
    final = evaluate(net, data)
    best_net = checkpoint.load(weights).net.to(device) if weights else net
    best = evaluate(best_net, data) if weights else final
    generator = torch.Generator().manual_seed(SAMPLE_SEED)
    names = sample(best_net.eval(), data.vocab, data.block_size, 20, generator)

    summary = {
        "name": run.path.name,
        **facts,
        "params": sum(p.numel() for p in net.parameters()),
        **best,
        "final": final,
        "data": {
            "path": data.path,
            "sha256": data.corpus.sha256,
            "words": data.corpus.n_words,
            "vocab_size": len(data.vocab),
        },
        "machine": f"{os.cpu_count()} cores, {cpu_name()}",
        "versions": {
            "lit_makemore": __version__,
            "python": platform.python_version(),
            **{
                package: version(package)
                for package in ("torch", "lightning", "torchmetrics", "tensorboard")
            },
        },
        "git_commit": git_commit(),
    }
    (run.path / "summary.json").write_text(json.dumps(summary, indent=2) + "\n")
    (run.path / "samples.txt").write_text("\n".join(names) + "\n", encoding="utf-8")
    print(table(best, "best" if weights else "last"))
    print(
        "\n"
        + "\n".join(
            " ".join(f"{name:<14}" for name in names[i : i + 5]).rstrip() for i in range(0, 20, 5)
        )
    )
    print(
        f"\n{run.path}: summary.json, samples.txt, checkpoints/; "
        f"see it with: tensorboard --logdir {run.path.parent}"
    )


def evaluate(net: MLP, data: NamesDataModule) -> dict[str, float | None]:
    """Losses in nats of all examples of each split, and of novel words, as in summary.json."""
    found: dict[str, float | None] = {}
    for split in SPLITS:
        everything, novel = losses(net, data.evaluation_loader(split))
        found[f"{split}_loss"] = everything
        if split != "train":
            found[f"{split}_loss_novel"] = novel if novel == novel else None  # NaN is no JSON
    return found


def table(figures: dict[str, float | None], which: str) -> str:
    """The losses as lines of text."""
    lines = [f"\n{which + ' weights':<14}{'loss':>9}{'perplexity':>12}{'loss, novel words':>20}"]
    for split in SPLITS:
        loss, novel = figures[f"{split}_loss"], figures.get(f"{split}_loss_novel")
        assert loss is not None
        perplexity = exp(min(loss, 700.0))
        lines.append(
            f"{split:<14}{loss:>9.4f}{perplexity:>12.3f}"
            + (f"{novel:>20.4f}" if novel is not None else "")
        )
    return "\n".join(lines)


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
    here = Path(__file__).parent
    try:
        command = ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
        done = subprocess.run(
            command, cwd=here, capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()

"""Measures the cost of a step on one process and on two, for minibatches of several sizes.

    python -m tests.benchmarks.parallel [--output docs/parallel.md]

The network is that of `deep.yaml`, with one thread a process. For each size of the minibatch the
table shows the parts of a step:

* loader: drawing the minibatch;
* compute: forward, backward and update;
* all-reduce: what DistributedDataParallel adds to compute, to average the gradients of all
  processes;
* Trainer: the rest of the step in a whole `fit`.

With --output, the table goes into a Markdown file.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from statistics import median
from time import perf_counter

import torch
from torch.nn.parallel import DistributedDataParallel

from lit_makemore.network.mlp import MLP, cross_entropy
from lit_makemore.training.loaders import MinibatchLoader
from tests.benchmarks.report import where, write_page
from tests.conftest import ROOT

BATCHES = (32, 512, 4096, 32768)
SECONDS = 2.0  # that a figure is measured for


def timed(once: Callable[[], None]) -> float:
    """Median ms of a call, after three that warm up."""
    for _ in range(3):
        once()
    times, end = [], perf_counter() + SECONDS
    while perf_counter() < end or len(times) < 5:
        begun = perf_counter()
        once()
        times.append(1e3 * (perf_counter() - begun))
    return median(times)


def loop(net: torch.nn.Module, share: int) -> Callable[[], None]:
    """Forward, backward and update on a minibatch that is there already."""
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01, fused=True)
    x, y = torch.randint(0, 27, (share, 3)), torch.randint(0, 27, (share,))

    def once() -> None:
        optimizer.zero_grad()
        cross_entropy(net(x), y).backward()
        optimizer.step()

    return once


def process_times(batch: int) -> dict[str, float]:
    """Run in each process: ms of loader, compute and all-reduce."""
    from lit_makemore.training.datamodule import NamesDataModule

    torch.set_num_threads(1)
    rank, world_size = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    if world_size > 1:
        torch.distributed.init_process_group("gloo")
    data = NamesDataModule(path="data/names_small.txt")
    data.setup()
    windows = data.splits["train"].windows
    loader = MinibatchLoader(
        windows, batch, torch.Generator().manual_seed(1), rank=rank, world_size=world_size
    )
    minibatches = (minibatch for _ in iter(int, 1) for minibatch in islice(loader, len(loader)))
    share = batch // world_size
    found = {"loader": timed(lambda: next(minibatches) and None)}
    found["compute"] = timed(loop(MLP(27), share))
    if world_size > 1:
        steps = 200 if batch < 10_000 else 20
        once = loop(DistributedDataParallel(MLP(27)), share)
        times = []
        for _ in range(steps):  # as many on both
            begun = perf_counter()
            once()
            times.append(1e3 * (perf_counter() - begun))
        found["all-reduce"] = max(0.0, median(times[3:]) - found["compute"])
    return found


def fit_ms(processes: int, batch: int) -> float:
    """Milliseconds a step of a whole fit."""
    steps = max(200, min(2000, 2**21 // batch))
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "train.py", "fit", "--config", "configs/reference/deep.yaml"]
        command += ["--data.path", "data/names_small.txt", "--data.batch_size", str(batch)]
        command += ["--trainer.max_steps", str(steps), "--runs_dir", folder, "--threads", "1"]
        command += ["--trainer.accelerator", "cpu", "--trainer.devices", str(processes)]
        command += ["--trainer.strategy", "ddp"] if processes > 1 else []
        command += ["--model.engine", "autograd", "--name", "run"]
        subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
        summary = json.loads((Path(folder) / "run" / "summary.json").read_text())
    return 1e3 / summary["steps_per_s"]


def measure(batch: int, processes: int) -> dict[str, float]:
    command = [sys.executable, "-m", "tests.benchmarks.parallel", "--batch", str(batch)]
    if processes > 1:
        torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node"]
        command = [sys.executable, *torchrun, str(processes), *command[1:]]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    found = json.loads(done.stdout.splitlines()[0])
    whole = fit_ms(processes, batch)
    return {**found, "Trainer": max(0.0, whole - sum(found.values())), "whole": whole}


def table() -> str:
    parts = ("loader", "compute", "all-reduce", "Trainer", "whole")
    lines = [f"| minibatch | processes | {' | '.join(parts)} | examples/s |"]
    lines += ["|---" * (len(parts) + 3) + "|"]
    for batch in BATCHES:
        for processes in (1, 2):
            found = measure(batch, processes)
            cells = [f"{found[part]:.2f}" if part in found else "–" for part in parts]
            lines.append(
                f"| {batch:,} | {processes} | {' | '.join(cells)} | "
                f"{1e3 * batch / found['whole']:,.0f} |"
            )
            print(lines[-1], file=sys.stderr)
    return "\n".join(lines) + (
        "\n\nAll times are milliseconds a step, on data/names_small.txt. Each part is a median,\n"
        'measured by itself; "whole" is the mean of a whole fit. If the parts add up to more than\n'
        f"the whole, the Trainer's part is shown as 0. {where()}.\n"
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.parallel")
    parser.add_argument("--output", help="Markdown file to write")
    parser.add_argument("--batch", type=int, help="one process's part of the measurement")
    options = parser.parse_args()
    if options.batch:
        found = process_times(options.batch)
        if not int(os.environ.get("RANK", 0)):
            print(json.dumps(found))
        return
    text = table()
    print(text)
    if options.output:
        command = "python -m tests.benchmarks.parallel"
        write_page(options.output, "Several processes", command, __doc__, text)


if __name__ == "__main__":
    main()

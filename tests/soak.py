"""A million updates of a tiny network: memory, open files and speed must stay as they were.

    python -m tests.soak [--steps N]

With logging, validation, checkpoints and diagnostics. Prints resident memory, open files and
updates a second after each twentieth of the run, and how much they drift over its second half. The
exit status is 1 if memory grows there by more than 2 %, speed falls by more than 15 %, files stay
open, or the event files exceed 50 MB.
"""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import lightning.pytorch as pl

from lit_makemore import lightning_cli
from lit_makemore.cli import main as command


class Watch(pl.Callback):
    """Notes memory, files and time at validations."""

    def __init__(self) -> None:
        self.rows: list[tuple[int, float, int, float]] = []

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        files = len(os.listdir("/proc/self/fd"))
        megabytes = pages * os.sysconf("SC_PAGE_SIZE") / 1e6
        self.rows.append((trainer.global_step, megabytes, files, time.monotonic()))


def slope(values: list[float]) -> float:
    """Drift over the whole of a least-squares line, as a share of the mean."""
    n = len(values)
    middle, mean = (n - 1) / 2, sum(values) / n
    steepness = sum((i - middle) * (v - mean) for i, v in enumerate(values))
    steepness /= sum((i - middle) ** 2 for i in range(n))
    return steepness * (n - 1) / mean


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak")
    parser.add_argument("--steps", type=int, default=1_000_000)
    steps = parser.parse_args().steps
    watch = Watch()
    callbacks = lightning_cli.MakemoreCLI._callbacks
    lightning_cli.MakemoreCLI._callbacks = lambda self: [*callbacks(self), watch]  # type: ignore
    with tempfile.TemporaryDirectory() as folder:
        arguments = ["fit", "--data.path", "data/names_small.txt", "--runs_dir", folder]
        arguments += ["--name", "soak", "--trainer.max_steps", str(steps), "--threads", "1"]
        arguments += ["--model.n_hidden", "16", "--model.n_layer", "1", "--model.fused", "true"]
        arguments += ["--trainer.enable_progress_bar", "false"]
        assert command(arguments) == 0
        events = sum(f.stat().st_size for f in Path(folder).rglob("events.*")) / 1e6
    rows = watch.rows
    print(f"{'update':>10}{'MB':>9}{'files':>7}{'updates/s':>11}")
    stride = max(len(rows) // 20, 1)
    for before, after in zip(rows[::stride], rows[stride::stride], strict=False):
        (s0, _, _, t0), (s1, mb, files, t1) = before, after
        print(f"{s1:>10,}{mb:>9.1f}{files:>7}{(s1 - s0) / (t1 - t0):>11,.0f}")
    half = rows[len(rows) // 2 :]
    memory = slope([mb for _, mb, _, _ in half])
    pairs = list(zip(half, half[1:], strict=False))
    speed = slope([(b[0] - a[0]) / (b[3] - a[3]) for a, b in pairs])
    files = half[-1][2] - half[0][2]
    print(f"second half: memory {memory:+.1%}, speed {speed:+.1%}, files {files:+d}")
    print(f"event files: {events:.1f} MB")
    return int(memory > 0.02 or speed < -0.15 or files > 0 or events > 50)


if __name__ == "__main__":
    sys.exit(main())

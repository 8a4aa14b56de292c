"""Trains a tiny network for a million updates and watches the process from outside.

    python -m tests.benchmarks.soak [--steps N] [--output docs/soak.md]

One `fit` process makes a million updates, with logging, validation, checkpoints and diagnostics on.
Its memory, open files and threads are read five times a second. The time of a step comes from the
run's own curve. For each of these figures, a straight line is fitted to the second half of the run.
"Rise" is how far this line rises in that half, as a share of the mean. Open files and threads are
first reduced to the smallest number in each twenty-fifth of the half, and the time of a step to its
median. With --output, the table goes into a Markdown file. The exit status is 1 if memory, open
files, threads or the time of a step rise by more than the table allows.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import linear_regression, mean, median

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.benchmarks.report import where, write_page
from tests.conftest import ROOT

EVERY_S = 0.2
GROWTH = 0.02  # of memory, over half a run, as a share of its level: the noise of the allocator
SLOWING = 0.10  # of the time a step takes; machines are noisy
PARTS = 25  # of the half, each with its median time and its fewest files: saves come and go


def arguments(folder: Path, steps: int) -> list[str]:
    tiny = ["--model.n_hidden", "20", "--model.n_layer", "2", "--model.n_embd", "4"]
    tiny += ["--data.batch_size", "8", "--model.lr_milestones", f"[{steps // 2}]"]
    # 100 validations with their checkpoints, 1,000 checkpoints, 10,000 lines of scalars, and
    # 1,000 probes
    tiny += ["--trainer.val_check_interval", str(steps // 100), "--trainer.max_steps", str(steps)]
    tiny += ["--diagnostics.every_n_steps", str(steps // 1000), "--model.engine", "native"]
    where = ["--runs_dir", str(folder), "--name", "soak", "--threads", "1"]
    return ["train.py", "fit", "--config", "configs/quickstart.yaml", *tiny, *where]


def sample(pid: int) -> dict[str, float]:
    """Memory in MB, open files and threads of a process."""
    status = Path(f"/proc/{pid}/status").read_text()
    fields = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
    return {
        "memory": int(fields["VmRSS"].split()[0]) / 1024,
        "files": len(os.listdir(f"/proc/{pid}/fd")),
        "threads": int(fields["Threads"]),
        "time": time.monotonic(),
    }


def watch(process: subprocess.Popen) -> list[dict[str, float]]:
    seen = []
    while process.poll() is None:
        try:
            seen.append(sample(process.pid))
        except (OSError, KeyError):  # it has just ended
            break
        time.sleep(EVERY_S)
    return seen


def rise(times: list[float], values: list[float]) -> tuple[float, float]:
    """The mean of a series, and how far the straight line through it rises, as a share of that."""
    slope, _ = linear_regression(times, values)
    return mean(values), slope * (times[-1] - times[0]) / mean(values)


def by_parts(values: list[float], figure: Callable[[list[float]], float]) -> tuple[float, float]:
    """The rise of a figure of each of PARTS parts of a series."""
    part = max(1, len(values) // PARTS)
    figures = [figure(values[at : at + part]) for at in range(0, len(values) - part + 1, part)]
    return rise(list(map(float, range(len(figures)))), figures)


def measure(steps: int) -> dict:
    with tempfile.TemporaryDirectory() as name:
        command = [sys.executable, *arguments(Path(name), steps)]
        with subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        ) as process:
            seen = watch(process)
            error = process.communicate()[1]
        assert process.returncode == 0, error
        run = Path(name) / "soak"
        summary = json.loads((run / "summary.json").read_text())
        events = sum(file.stat().st_size for file in run.rglob("events.*"))
        log = EventAccumulator(str(run), size_guidance={"scalars": 0}).Reload()
        speeds = [event.value for event in log.Scalars("7_progress/steps_per_s")]
    seen = seen[len(seen) // 2 : -2]  # the closing evaluation is another thing
    times = [row["time"] for row in seen]
    figures = {"memory": rise(times, [row["memory"] for row in seen])}
    # a checkpoint being written is a file more for an instant; a leak raises the fewest, too
    for key in ("files", "threads"):
        figures[key] = by_parts([row[key] for row in seen], min)
    half = [1e6 / speed for speed in speeds[len(speeds) // 2 :]]  # µs a step
    figures["step"] = by_parts(half, median)
    return {
        "figures": figures,
        "events": events,
        "steps": summary["steps"],
        "minutes": summary["wall_s"] / 60,
        "val": summary["val_loss"],
    }


def report(found: dict) -> tuple[str, bool]:
    """The table, and whether all of it is flat."""
    names = {"memory": "memory, MB", "files": "open files", "threads": "threads"}
    names["step"] = "time of a step, µs"
    limits = {"memory": GROWTH, "files": 0.0, "threads": 0.0, "step": SLOWING}
    flat = all(found["figures"][key][1] <= limit for key, limit in limits.items())
    lines = ["| in the second half | mean | rise | allowed rise |", "|---|---|---|---|"]
    for key, (level, rises) in found["figures"].items():
        lines.append(f"| {names[key]} | {level:,.0f} | {rises:+.2%} | {limits[key]:.0%} |")
    text = "\n".join(lines)
    text += f"\n\n{found['steps']:,} updates in {found['minutes']:.1f} minutes, val loss "
    text += f"{found['val']:.4f}; all event files together have {found['events'] / 1e6:.1f} MB.\n\n"
    return f"{text}{where()}.\n", flat


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.soak")
    parser.add_argument("--steps", type=int, default=1_000_000)
    parser.add_argument("--output", help="Markdown file to write")
    options = parser.parse_args()
    text, flat = report(measure(options.steps))
    print(text)
    if options.output:
        write_page(options.output, "Soak", "python -m tests.benchmarks.soak", __doc__, text)
    sys.exit(not flat)


if __name__ == "__main__":
    main()

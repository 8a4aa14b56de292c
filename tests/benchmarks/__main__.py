"""Every ratio of speed that the project claims, beside the notebook's loop.

    python -m tests.benchmarks [--steps N] [--rounds N] [--long_rounds N] [--output FILE]

Steady-state steps a second of `fit` with ordinary and fused steps and with gradients derived by
hand; wall-clock of whole runs, compiled graphs from the cache; the time to the first step beside
the bare import of Lightning; what the diagnostics take. Each measurement is a process of its own.
Those of a round follow one another and a ratio is the median of the rounds' ratios, since the speed
of a shared machine drifts. With --output the figures go to a JSON file and, beside it, a Markdown
table.
"""

import argparse
import datetime
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from time import perf_counter

import torch

from lit_makemore.summary import cpu_name, git_commit

DEEP = "configs/reference/deep.yaml"
FUSED = ["--model.fused", "true"]
ORDINARY = ["--model.fused", "false"]
MANUAL = ["--model.backward", "manual"]
NOTEBOOK_STEPS = 100_000  # of its training, as published


def notebook(config: str, steps: int) -> float:
    """Steps a second of the notebook's loop."""
    command = [sys.executable, "-m", "tests.benchmarks.notebook", config, str(steps)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def fit(config: str, *more: str) -> dict:
    """The summary of a `fit`, logging, validation and checkpoints at their defaults; process_s."""
    with tempfile.TemporaryDirectory() as folder:
        command = ["train.py", "fit", "--config", config, *more]
        command += ["--runs_dir", folder, "--name", "run"]
        begun = perf_counter()
        subprocess.run([sys.executable, *command], check=True, capture_output=True)
        seconds = perf_counter() - begun
        return json.loads((Path(folder) / "run" / "summary.json").read_text()) | {
            "process_s": seconds
        }


def rates(config: str, steps: int, rounds: int) -> list[dict]:
    """Steady-state steps a second, a row for each way to step."""
    path, limit = f"configs/reference/{config}.yaml", ["--trainer.max_steps", str(steps)]
    ways = {"ordinary": ORDINARY, "by hand": MANUAL, "fused": FUSED}
    fit(path, *limit, *FUSED)  # fills the cache of compiled graphs
    measured = []
    for _ in range(rounds):
        loop = notebook(config, steps)
        measured.append((loop, {way: fit(path, *limit, *ways[way]) for way in ways}))
    rows = []
    for way in ways:
        ours = [runs[way]["steps_per_s"] for _, runs in measured]
        ratios = [rate / loop for rate, (loop, _) in zip(ours, measured, strict=True)]
        loops = median(loop for loop, _ in measured)
        rows.append(row(f"{config}, {way}, steps/s", loops, median(ours), ratios))
    return rows


def wholes(rounds: int) -> list[dict]:
    """Whole runs against the notebook's loop, for its 100,000 steps."""
    measured = []
    for _ in range(rounds):
        loop = NOTEBOOK_STEPS / notebook("deep", NOTEBOOK_STEPS)
        measured.append((loop, fit(DEEP, *FUSED), fit("configs/names.yaml")))
    loops = [loop for loop, _, _ in measured]
    deep = [run["process_s"] for _, run, _ in measured]
    names = [run["process_s"] for _, _, run in measured]
    training = [run["steps"] / run["steps_per_s"] for _, _, run in measured]
    labels = {
        "deep.yaml, 100,000 steps fused, whole process, s": deep,
        "names.yaml, training, s": training,
        "names.yaml, whole process, s": names,
    }
    return [
        row(
            label,
            median(loops),
            median(ours),
            [loop / s for loop, s in zip(loops, ours, strict=True)],
        )
        for label, ours in labels.items()
    ]


def diagnostics(rounds: int) -> list[dict]:
    """Seconds of whole processes with diagnostics on and off, and the share that they count."""
    rows = []
    for label, more in {"100,000 steps fused": FUSED, "100,000 ordinary steps": ORDINARY}.items():
        measured = []
        for _ in range(rounds if more is FUSED else 1):  # the others take minutes each
            off = fit(DEEP, *more, "--diagnostics.enabled", "false")
            measured.append((off["process_s"], fit(DEEP, *more)))
        offs, ons = [off for off, _ in measured], [on["process_s"] for _, on in measured]
        ratios = [on / off for on, off in zip(ons, offs, strict=True)]
        name = f"deep.yaml, {label}, diagnostics on (off), s"
        rows.append(row(name, median(offs), median(ons), ratios))
        shares = [1 + on["diagnostics_s"] / (on["steps"] / on["steps_per_s"]) for _, on in measured]
        counted = median(on["diagnostics_s"] for _, on in measured)
        rows.append(row("… of which the observers count, s (of training)", 0, counted, shares))
    return rows


def startup(rounds: int) -> list[dict]:
    """Seconds to the first step, beside the import of Lightning."""
    command = [sys.executable, "-m", "tests.benchmarks.startup"]
    run = {"check": True, "capture_output": True, "text": True}
    measured = [
        [float(subprocess.run([*command, what], **run).stdout) for what in ("import", "fit")]  # type: ignore[call-overload]
        for _ in range(rounds)
    ]
    imports, fits = map(list, zip(*measured, strict=True))
    ratios = [b / a for a, b in measured]
    return [
        row(
            "first ordinary step, s (import lightning.pytorch)",
            median(imports),
            median(fits),
            ratios,
        )
    ]


def row(label: str, theirs: float, ours: float, ratios: list[float]) -> dict:
    figures = {
        "theirs": round(theirs, 2),
        "ours": round(ours, 2),
        "ratio": round(median(ratios), 2),
    }
    return {"label": label, **figures, "ratios": [round(ratio, 3) for ratio in ratios]}


def markdown(result: dict) -> str:
    lines = ["| | notebook | ours | ratio | rounds |", "|---|---|---|---|---|"]
    for r in result["rows"]:
        spread = f"{min(r['ratios']):.2f} … {max(r['ratios']):.2f}"
        figures = f"{r['theirs']:,.4g} | {r['ours']:,.4g} | **{r['ratio']:.2f}**"
        lines.append(f"| {r['label']} | {figures} | {spread} |")
    where = f"{result['machine']}, torch {result['torch']}, {result['date']}, {result['commit']}"
    return "\n".join([*lines, "", f"{where}."]) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks")
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--long_rounds", type=int, default=3)
    parser.add_argument("--output", help="JSON file to write; FILE.md gets the table")
    arguments = parser.parse_args()
    steps, rounds = arguments.steps, arguments.rounds
    rows = [*rates("one_layer", steps, rounds), *rates("deep", steps, rounds), *startup(rounds)]
    result = {
        "date": datetime.date.today().isoformat(),
        "machine": f"{os.cpu_count()} cores, {cpu_name()}",
        "torch": torch.__version__,
        "commit": git_commit(),
        "steps": steps,
        "rows": [*rows, *wholes(arguments.long_rounds), *diagnostics(arguments.long_rounds)],
    }
    print(markdown(result))
    if arguments.output:
        path = Path(arguments.output)
        path.write_text(json.dumps(result, indent=1) + "\n")
        about = (__doc__ or "").split("\n\n")[2]
        text = f"# Speed\n\n`python -m tests.benchmarks`. {about}\n\n{markdown(result)}"
        path.with_suffix(".md").write_text(text)


if __name__ == "__main__":
    main()

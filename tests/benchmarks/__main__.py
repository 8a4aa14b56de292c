"""Steps a second of `fit` on the reference configs beside the notebook's loop.

    python -m tests.benchmarks [--configs one_layer deep] [--steps N] [--rounds N] [--output FILE]

Each measurement is a process of its own: the notebook's loop, `fit`, and `fit` with the gradients
derived by hand. They are interleaved, and a ratio is the median of the ratios of the rounds, since
the speed of a shared machine drifts. Prints a table, with --output also writes JSON.
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

import torch

from lit_makemore.summary import cpu_name, git_commit

MANUAL = ["--model.backward", "manual"]


def notebook(config: str, steps: int) -> float:
    """Steps a second of the notebook's loop."""
    command = [sys.executable, "-m", "tests.benchmarks.notebook", config, str(steps)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def fit(config: str, steps: int, *more: str) -> float:
    """Steps a second of a `fit` with logging, validation and checkpoints at their defaults."""
    with tempfile.TemporaryDirectory() as folder:
        command = ["train.py", "fit", "--config", f"configs/reference/{config}.yaml", *more]
        command += ["--trainer.max_steps", str(steps), "--runs_dir", folder, "--name", "run"]
        subprocess.run([sys.executable, *command], check=True, capture_output=True)
        return json.loads((Path(folder) / "run" / "summary.json").read_text())["steps_per_s"]


def measure(configs: list[str], steps: int, rounds: int) -> dict:
    rows = []
    for config in configs:
        measured = [
            (notebook(config, steps), fit(config, steps), fit(config, steps, *MANUAL))
            for _ in range(rounds)
        ]
        rows.append(
            {
                "config": config,
                "notebook": median(loop for loop, _, _ in measured),
                "fit": median(auto for _, auto, _ in measured),
                "manual": median(hand for _, _, hand in measured),
                "fit_ratios": [round(auto / loop, 3) for loop, auto, _ in measured],
                "manual_ratios": [round(hand / loop, 3) for loop, _, hand in measured],
            }
        )
    return {
        "date": datetime.date.today().isoformat(),
        "machine": f"{os.cpu_count()} cores, {cpu_name()}",
        "torch": torch.__version__,
        "commit": git_commit(),
        "steps": steps,
        "rounds": rounds,
        "rows": rows,
    }


def table(result: dict) -> str:
    head = f"{'steps/s':<12}{'notebook':>10}{'fit':>8}{'ratio':>8}{'by hand':>10}{'ratio':>8}"
    lines = [head]
    for row in result["rows"]:
        line = f"{row['config']:<12}{row['notebook']:>10.0f}{row['fit']:>8.0f}"
        line += f"{median(row['fit_ratios']):>8.2f}{row['manual']:>10.0f}"
        lines.append(f"{line}{median(row['manual_ratios']):>8.2f}")
    where = f"{result['machine']}, torch {result['torch']}, {result['date']}, {result['commit']}"
    return "\n".join([*lines, where])


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks")
    parser.add_argument("--configs", nargs="*", default=["one_layer", "deep"])
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--output", help="JSON file to write")
    arguments = parser.parse_args()
    result = measure(arguments.configs, arguments.steps, arguments.rounds)
    print(table(result))
    if arguments.output:
        Path(arguments.output).write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()

"""python -m tests.benchmarks [--configs one_layer deep] [--steps N] [--rounds N] [--output FILE]

Steps a second of `fit` on the reference configs beside the notebook's loop, each a process of its
own, interleaved, medians; a table on stdout and, on request, a JSON file.
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


def notebook(config: str, steps: int) -> float:
    """Steps a second of the notebook's loop."""
    command = [sys.executable, "-m", "tests.benchmarks.notebook", config, str(steps)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def fit(config: str, steps: int) -> float:
    """Steps a second of a `fit` with logging, validation and checkpoints at their defaults."""
    with tempfile.TemporaryDirectory() as folder:
        command = [
            sys.executable,
            "train.py",
            "fit",
            "--config",
            f"configs/reference/{config}.yaml",
        ]
        command += ["--trainer.max_steps", str(steps), "--runs_dir", folder, "--name", "run"]
        subprocess.run(command, check=True, capture_output=True)
        return json.loads((Path(folder) / "run" / "summary.json").read_text())["steps_per_s"]


def measure(configs: list[str], steps: int, rounds: int) -> dict:
    rows = []
    for config in configs:
        pairs = [(notebook(config, steps), fit(config, steps)) for _ in range(rounds)]
        rows.append(
            {
                "config": config,
                "notebook": median(a for a, _ in pairs),
                "fit": median(b for _, b in pairs),
                "ratio": median(b / a for a, b in pairs),
                "ratios": [round(b / a, 3) for a, b in pairs],
            }
        )
    return {
        "date": datetime.date.today().isoformat(),
        "machine": f"{os.cpu_count()} cores, {cpu_name()}",
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "commit": git_commit(),
        "steps": steps,
        "rounds": rounds,
        "rows": rows,
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--configs", nargs="*", default=["one_layer", "deep"])
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--output", help="JSON file to write")
    arguments = parser.parse_args()
    result = measure(arguments.configs, arguments.steps, arguments.rounds)
    print(f"{'steps/s':<12}{'notebook':>10}{'fit':>10}{'ratio':>8}   ({result['machine']})")
    for row in result["rows"]:
        figures = f"{row['notebook']:>10.0f}{row['fit']:>10.0f}{row['ratio']:>8.2f}"
        print(f"{row['config']:<12}{figures}   {row['ratios']}")
    if arguments.output:
        Path(arguments.output).write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()

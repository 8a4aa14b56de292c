"""Measures the steps a second on a GPU: the notebook's loop, and `fit` in several ways.

    python -m tests.benchmarks.gpu [--steps N] [--rounds N] [--output FILE.md]

`fit` takes steps by autograd, in two precisions and with two sizes of the minibatch. It prints a
table with the name of the GPU. It needs data/names.txt.
"""

import argparse
import subprocess
import sys
from pathlib import Path
from statistics import median

import torch

from tests.benchmarks.__main__ import DEEP, EAGER, fit


def notebook(steps: int, batch_size: int) -> float:
    arguments = ["deep", str(steps), str(batch_size), "cuda"]
    command = [sys.executable, "-m", "tests.benchmarks.notebook", *arguments]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def measure(steps: int, rounds: int) -> str:
    lines = ["| batch | precision | notebook | autograd |", "|---|---|---|---|"]
    for batch_size in (32, 4096):
        loops, rates = [], {}
        for _ in range(rounds):
            loops.append(notebook(steps, batch_size))
            for precision in ("32-true", "bf16-mixed"):
                arguments = ["--data.batch_size", batch_size, "--trainer.max_steps", steps]
                arguments += ["--trainer.accelerator", "gpu", "--trainer.precision", precision]
                rate = fit(DEEP, *map(str, arguments), *EAGER)["steps_per_s"]
                rates.setdefault(precision, []).append(rate)
        for precision in ("32-true", "bf16-mixed"):
            ours = f"{median(rates[precision]):,.0f}"
            lines.append(f"| {batch_size:,} | {precision} | {median(loops):,.0f} | {ours} |")
    where = f"{torch.cuda.get_device_name()}, torch {torch.__version__}"
    return "\n".join([*lines, "", f"Steps a second, medians of {rounds} rounds; {where}."]) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.gpu")
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--output", help="Markdown file to write")
    arguments = parser.parse_args()
    if not torch.cuda.is_available():
        sys.exit("error: no GPU here")
    table = measure(arguments.steps, arguments.rounds)
    print(table)
    if arguments.output:
        Path(arguments.output).write_text(f"# Speed on a GPU\n\n{table}")


if __name__ == "__main__":
    main()

"""Runs the tests for GPUs, then measures where a GPU is quicker than a CPU: docs/gpu.md.

    python -m tests.benchmarks.gpu [--seconds N] [--rounds N] [--dry_run] [--output docs/gpu.md]

A row is a network and a minibatch. Its figures are the steps a second of `fit`, each for some
seconds in a process of its own: native steps on the CPU, with as many threads as `fit` takes; steps
by autograd on both devices, in float32 and in bf16-mixed. Logging and diagnostics are on, without
pictures; there are no validations. The work of a step is parameters × minibatch: the last lines
say from which work on the GPU is quicker than native steps.

The whole takes less than eight minutes on a machine with one GPU. With --dry_run, the CPU stands
for the GPU: this tries the command, and measures nothing. It needs data/names.txt.
"""

import argparse
import datetime
import subprocess
import sys
from math import exp, log
from statistics import median

import torch

from lit_makemore.runs.report import cpu_name, git_commit
from tests.benchmarks.__main__ import DEEP, fit
from tests.benchmarks.report import write_page

WAYS = {  # heading of a column, and the options of `fit`
    "CPU, native": "--trainer.accelerator cpu --model.engine native",
    "CPU, autograd": "--trainer.accelerator cpu --model.engine autograd",
    "CPU, bf16-mixed": "--trainer.accelerator cpu --trainer.precision bf16-mixed",
    "GPU, autograd": "--trainer.accelerator gpu --model.engine autograd",
    "GPU, bf16-mixed": "--trainer.accelerator gpu --trainer.precision bf16-mixed",
}
CPU, GPU = "CPU, native", "GPU, autograd"
# Its teachers are left out: their targets take a step as long as those of the count model.
DISTILLED = "--data.targets kneser_ney --data.teachers []"
NETWORKS = {"deep": (DEEP, ""), "names_distilled": ("configs/names_distilled.yaml", DISTILLED)}
SIZES = [(100, 128), (100, 512), (100, 2048), (300, 512), (300, 2048)]
"""Units of a hidden layer and examples of a minibatch, of networks like deep.yaml."""


def rate(config: str, options: str, seconds: int) -> tuple[float, float]:
    """Steps a second of a `fit` that is stopped after some seconds, and the work of a step."""
    usual = f"--trainer.max_time 00:00:00:{seconds:02} --trainer.max_steps 100000000 "
    usual += "--trainer.val_check_interval 100000000 --diagnostics.pictures false "
    usual += "--diagnostics.every_n_steps 2000 --trainer.devices 1"
    run = fit(config, *usual.split(), *options.split())
    return run["steps_per_s"], run["params"] * run["batch_size"]


def measure(
    name: str, config: str, options: str, ways: list[str], rounds: int, seconds: int, device: str
) -> list:
    """A row: name, work of a step, and the median of the steps a second in each way."""
    found: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(rounds):
        for way in ways:
            more = WAYS[way].replace("accelerator gpu", f"accelerator {device}")
            steps_per_s, work = rate(config, f"{options} {more}", seconds)
            found[way].append(steps_per_s)
    return [name, work, *(median(found[way]) if way in found else None for way in WAYS)]


def crossing(rows: list[list]) -> float | None:
    """The work of a step, in float32, at which a GPU becomes as quick as native steps.

    A straight line between the logarithms of two neighbours, the last time that it happens; None
    if it does not.
    """
    cpu, gpu = (2 + list(WAYS).index(way) for way in (CPU, GPU))
    both = [row for row in rows if row[cpu] and row[gpu]]  # 0: no ten updates in the time
    points = sorted((log(row[1]), log(row[gpu] / row[cpu])) for row in both)
    for (x0, y0), (x1, y1) in reversed(list(zip(points, points[1:], strict=False))):
        if y0 < 0 <= y1:
            return exp(x0 - y0 * (x1 - x0) / (y1 - y0))
    return None


def tests(seconds: int) -> str:
    """The last line of the tests for GPUs."""
    command = [sys.executable, "-m", "pytest", "-q", "-m", "gpu"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds)
    except subprocess.TimeoutExpired:
        return f"not finished after {seconds} s"
    return done.stdout.strip().splitlines()[-1].strip("= ")


def page(tested: str, rows: list[list]) -> str:
    """The figures as Markdown."""
    lines = [f"Tests (`pytest -m gpu`): {tested}.", ""]
    lines += [f"| | work of a step | {' | '.join(WAYS)} |", f"|{'---|' * (2 + len(WAYS))}"]
    for name, work, *found in rows:
        cells = ["–" if steps_per_s is None else f"{steps_per_s:,.0f}" for steps_per_s in found]
        lines.append(f"| {name} | {work / 1e6:,.1f} million | {' | '.join(cells)} |")
    work = crossing(rows) if len(rows) > 1 else None
    said = "at none of these sizes" if work is None else f"from {work / 1e6:,.0f} million on"
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU: a dry run"
    where = f"{gpu}; {cpu_name()}; torch {torch.__version__}; commit {git_commit()}"
    lines += ["", f"In float32, the GPU is quicker than native steps {said}.", ""]
    return "\n".join([*lines, f"{datetime.date.today().isoformat()}, {where}."]) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.gpu")
    parser.add_argument("--seconds", type=int, default=4, help="of each fit")
    parser.add_argument("--rounds", type=int, default=2, help="of the first two rows")
    parser.add_argument("--dry_run", action="store_true", help="try this command on the CPU")
    parser.add_argument("--output", help="Markdown file to write")
    arguments = parser.parse_args()
    if not (arguments.dry_run or torch.cuda.is_available()):
        sys.exit("error: no GPU here; --dry_run tries this command on the CPU")
    device = "cpu" if arguments.dry_run else "gpu"
    tested, rows = tests(150), []
    print(tested, flush=True)
    todo = [
        (name, config, more, list(WAYS), arguments.rounds)
        for name, (config, more) in NETWORKS.items()
    ]
    for n_hidden, batch_size in SIZES:
        options = f"--model.n_hidden {n_hidden} --data.batch_size {batch_size}"
        todo.append((f"5 × {n_hidden}, minibatch {batch_size:,}", DEEP, options, [CPU, GPU], 1))
    for one in todo:
        rows.append(measure(*one, arguments.seconds, device))
        print(rows[-1], flush=True)
        if arguments.output:  # after each row: the machine may be lent for a few minutes only
            text = page(tested, rows)
            write_page(arguments.output, "GPU", "python -m tests.benchmarks.gpu", __doc__, text)
    print(page(tested, rows))


if __name__ == "__main__":
    main()

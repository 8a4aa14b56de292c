"""Measures every ratio of speed that the project claims, compared with the notebook's loop.

    python -m tests.benchmarks [--only PART …] [--steps N] [--rounds N] [--long_rounds N]
                               [--output FILE]

It measures:

* the steps a second of `fit`, after the start: native, by autograd and with gradients by hand;
* the seconds of whole runs;
* the quick start from its beginning to its table, on a machine that has not built native.cpp;
* the seconds to the first step, compared with the import of Lightning alone;
* the seconds that the diagnostics take;
* where the seconds of names.yaml go: the phases of a run, compared with the import of Lightning;
* the seconds of `sample`, `score` and `export`, compared with the import of torch;
* the floating-point operations a second of a native step, compared with a product of two matrices.

Most rows are compared with the notebook's loop. There the ratio says how many times as fast ours
is. Some rows name another comparison in brackets. There the ratio says how many times as long ours
takes, or how large a share it reaches. The steps a second are those of one thread, like the loop's.

Each measurement is a process of its own. The speed of a shared machine changes over time, so the
measurements of a round follow one another, and a ratio is the median of the rounds' ratios. With
--output, the figures go into a JSON file and a Markdown table beside it. They replace the figures
of the same name.
"""

import argparse
import datetime
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import perf_counter

import torch

from lit_makemore.runs.report import cpu_name, git_commit
from tests.benchmarks.report import write_page

DEEP = "configs/reference/deep.yaml"
COMMIT = git_commit()  # before the figures change the tree
NATIVE = ["--model.engine", "native"]
AUTOGRAD = ["--model.engine", "autograd"]
MANUAL = ["--model.engine", "manual"]
ONE_THREAD = {"OMP_NUM_THREADS": "1"}
NOTEBOOK_STEPS = 100_000  # of its training, as published


def notebook(config: str, steps: int) -> float:
    """Steps a second of the notebook's loop on one thread."""
    command = [sys.executable, "-m", "tests.benchmarks.notebook", config, str(steps)]
    environment = {**os.environ, **ONE_THREAD}
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    return float(done.stdout)


def fit(config: str, *more: str, **environment: str) -> dict:
    """The summary of a `fit`, logging, validation and checkpoints at their defaults; process_s."""
    with tempfile.TemporaryDirectory() as folder:
        command = ["train.py", "fit", "--config", config, *more]
        command += ["--runs_dir", folder, "--name", "run"]
        begun = perf_counter()
        subprocess.run(
            [sys.executable, *command],
            check=True,
            capture_output=True,
            env={**os.environ, **environment},
        )
        seconds = perf_counter() - begun
        return json.loads((Path(folder) / "run" / "summary.json").read_text()) | {
            "process_s": seconds
        }


def rates(config: str, steps: int, rounds: int) -> list[dict]:
    """Steady-state steps a second on one thread, a row for each way to step."""
    path = f"configs/reference/{config}.yaml"
    ways = {"native": (NATIVE, 10), "autograd": (AUTOGRAD, 1), "by hand in Python": (MANUAL, 1)}
    measured = []
    for _ in range(rounds):
        loop, ours = notebook(config, steps), {}
        for way, (options, longer) in ways.items():
            # the interval that the diagnostics have in the config's own 100,000 steps
            limit = ["--trainer.max_steps", str(longer * steps)]
            limit += ["--diagnostics.every_n_steps", "2000"]
            ours[way] = fit(path, *limit, *options, **ONE_THREAD)
        measured.append((loop, ours))
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
        loop = NOTEBOOK_STEPS / notebook("deep", NOTEBOOK_STEPS // 4)
        measured.append((loop, fit(DEEP), fit("configs/names.yaml")))
    loops = [loop for loop, _, _ in measured]
    deep = [run["process_s"] for _, run, _ in measured]
    names = [run["process_s"] for _, _, run in measured]
    training = [run["steps"] / run["steps_per_s"] for _, _, run in measured]
    threads = measured[0][2]["threads"]
    labels = {
        "deep.yaml, 100,000 steps, whole process, s": deep,
        f"names.yaml, training alone on {threads} thread(s), s": training,
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


def quickstart(rounds: int) -> list[dict]:
    """The first run on a machine, beside a later one."""
    measured = []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as cache:
            ours = [
                fit("configs/quickstart.yaml", XDG_CACHE_HOME=cache)["process_s"] for _ in range(2)
            ]
        measured.append(ours)
    cold, warm = ([run[i] for run in measured] for i in (0, 1))
    ratios = [run[0] / run[1] for run in measured]
    return [row("quickstart.yaml, the first time (later), s", median(warm), median(cold), ratios)]


def diagnostics(rounds: int) -> list[dict]:
    """Seconds of whole processes with diagnostics on and off, and on without pictures."""
    ways = {
        "diagnostics on": [],
        "diagnostics without pictures": ["--diagnostics.pictures", "false"],
    }
    measured = []
    for _ in range(rounds):
        off = fit(DEEP, "--diagnostics.enabled", "false")["process_s"]
        measured.append((off, [fit(DEEP, *more)["process_s"] for more in ways.values()]))
    offs = [off for off, _ in measured]
    rows = []
    for i, way in enumerate(ways):
        ons = [seconds[i] for _, seconds in measured]
        ratios = [on / off for on, off in zip(ons, offs, strict=True)]
        rows.append(
            row(f"deep.yaml, 100,000 steps, {way} (off), s", median(offs), median(ons), ratios)
        )
    return rows


def startup(rounds: int) -> list[dict]:
    """Seconds to the first step, beside the import of Lightning."""
    command = [sys.executable, "-m", "tests.benchmarks.startup"]
    quiet = {"check": True, "capture_output": True, "text": True}
    measured = [
        [float(subprocess.run([*command, what], **quiet).stdout) for what in ("import", "fit")]  # type: ignore[call-overload]
        for _ in range(rounds)
    ]
    imports, fits = map(list, zip(*measured, strict=True))
    ratios = [b / a for a, b in measured]
    label = "first step, s (import lightning.pytorch)"
    return [row(label, median(imports), median(fits), ratios)]


def phases(rounds: int) -> list[dict]:
    """Where the seconds of a run go, beside the import of Lightning."""
    measured = []
    for _ in range(rounds):
        command = [sys.executable, "-m", "tests.benchmarks.seconds"]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        measured.append(json.loads(done.stdout))
    imports = [run.pop("import lightning.pytorch") for run in measured]
    measured = [
        {**run, "all but training": sum(run.values()) - run["training"]} for run in measured
    ]
    rows = []
    for phase in measured[0]:
        ours = [run[phase] for run in measured]
        ratios = [b / a for a, b in zip(imports, ours, strict=True)]
        label = f"names.yaml, {phase}, s (import lightning.pytorch)"
        rows.append(row(label, median(imports), median(ours), ratios))
    return rows


def without_lightning(rounds: int) -> list[dict]:
    """Commands on a small trained network, beside the import of torch."""
    measured = []
    with tempfile.TemporaryDirectory() as folder:
        ckpt = f"{folder}/run/checkpoints/best.ckpt"
        limit = f"--trainer.max_steps 20 --runs_dir {folder} --name run".split()
        run(["train.py", "fit", "--config", "configs/names.yaml", *limit])
        commands = {
            "sample": ["--num", "20"],
            "score": ["emma"],
            "export": ["--output", f"{folder}/x.html"],
        }
        for _ in range(rounds):
            ours = [
                run(["train.py", name, "--ckpt_path", ckpt, *more])
                for name, more in commands.items()
            ]
            measured.append((run(["-c", "import torch"]), ours))
    rows = []
    for i, name in enumerate(commands):
        theirs, ours = [torch for torch, _ in measured], [each[i] for _, each in measured]
        ratios = [b / a for a, b in zip(theirs, ours, strict=True)]
        rows.append(
            row(f"{name}, whole process, s (import torch)", *map(median, (theirs, ours)), ratios)
        )
    return rows


def run(arguments: list[str]) -> float:
    """The seconds of a Python process."""
    begun = perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
    return perf_counter() - begun


def roofline(rounds: int) -> list[dict]:
    """Billions of operations a second in the products of a step, beside those of torch.mm."""
    command = [sys.executable, "-m", "tests.benchmarks.roofline"]
    measured = []
    for _ in range(rounds):
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        measured.append(json.loads(done.stdout))
    return [
        row(
            f"{name}, native step, GFLOP/s (torch.mm)",
            median(run["torch.mm"] for run in measured),
            median(run[name] for run in measured),
            [run[name] / run["torch.mm"] for run in measured],
        )
        for name in measured[0]
        if name != "torch.mm"
    ]


def row(label: str, theirs: float, ours: float, ratios: list[float]) -> dict:
    figures = {
        "theirs": round(theirs, 2),
        "ours": round(ours, 2),
        "ratio": round(median(ratios), 2),
    }
    where = {"date": datetime.date.today().isoformat(), "commit": COMMIT}
    machine = f"{os.cpu_count()} cores, {cpu_name()}, torch {torch.__version__}"
    ratios = [round(ratio, 3) for ratio in ratios]
    return {"label": label, **figures, "ratios": ratios, **where, "machine": machine}


def markdown(rows: list[dict]) -> str:
    lines = ["| | compared with | ours | ratio | rounds | commit |", "|---|---|---|---|---|---|"]
    for r in rows:
        spread = f"{len(r['ratios'])}: {min(r['ratios']):.2f} … {max(r['ratios']):.2f}"
        figures = f"{r['theirs']:,.4g} | {r['ours']:,.4g} | **{r['ratio']:.2f}**"
        lines.append(f"| {r['label']} | {figures} | {spread} | {r['commit']} |")
    where = "; ".join(sorted({f"{r['machine']}, {r['date']}" for r in rows}))
    return "\n".join([*lines, "", f"{where}."]) + "\n"


MEASURES: dict[str, Callable[[argparse.Namespace], list[dict]]] = {
    "one_layer": lambda asked: rates("one_layer", asked.steps, asked.rounds),
    "deep": lambda asked: rates("deep", asked.steps, asked.rounds),
    "startup": lambda asked: startup(asked.rounds),
    "seconds": lambda asked: phases(asked.rounds),
    "commands": lambda asked: without_lightning(asked.rounds),
    "quickstart": lambda asked: quickstart(asked.long_rounds),
    "wholes": lambda asked: wholes(asked.long_rounds),
    "diagnostics": lambda asked: diagnostics(asked.long_rounds),
    "roofline": lambda asked: roofline(asked.rounds),
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks")
    parser.add_argument("--steps", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--long_rounds", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=[*MEASURES], default=[*MEASURES])
    parser.add_argument("--output", help="JSON file to write; FILE.md gets the table")
    arguments = parser.parse_args()
    path = Path(arguments.output) if arguments.output else None
    rows = {r["label"]: r for r in json.loads(path.read_text())} if path and path.exists() else {}
    for part in arguments.only:
        found = MEASURES[part](arguments)
        print(markdown(found), flush=True)
        rows |= {r["label"]: r for r in found}
        if path:
            path.write_text(json.dumps(list(rows.values()), indent=1) + "\n")
            page = path.with_suffix(".md")
            text = markdown(list(rows.values()))
            write_page(page, "Speed", "python -m tests.benchmarks", __doc__, text)


if __name__ == "__main__":
    main()

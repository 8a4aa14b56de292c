"""Measures how start-up time, memory and speed depend on the length of the word list.

    python -m tests.benchmarks.growth --ckpt_path FILE [--output docs/growth.md]
    python -m tests.benchmarks.growth --lists FILE ... [--threads N]

A trained network invents lists of 10⁴, 10⁵ and 10⁶ words. For each list, a new process measures
the time from the start of reading to the first minibatch. It also measures the peak memory: what
the process needs in addition to what it needed for a list of 100 words. Then `fit` trains on the
list, which gives the steps a second. With --output, the table goes into a Markdown file.

With --lists, words.yaml learns each list, and is compared with the best counting: the section on
long lists. *seconds* and *CPU* are of one `fit`, from its start to its end.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter

from tests.benchmarks import lists
from tests.benchmarks.report import where, write_page

COMMAND = "python -m tests.benchmarks.growth --ckpt_path FILE"
SIZES = (10**4, 10**5, 10**6)


def child(path: str) -> None:
    """Prints seconds to the first minibatch and bytes of peak memory beyond the base, as JSON."""
    from lit_makemore.training.datamodule import NamesDataModule

    def first_minibatch(path: str) -> None:
        data = NamesDataModule(path)
        data.setup()
        next(iter(data.train_dataloader()))

    def peak() -> int:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

    with tempfile.NamedTemporaryFile("w", suffix=".txt") as tiny:  # all that is loaded at first use
        tiny.writelines(f"{'abcdefghij'[i // 10]}{'abcdefghij'[i % 10]}\n" for i in range(100))
        tiny.flush()
        first_minibatch(tiny.name)
    base, begun = peak(), perf_counter()
    first_minibatch(path)
    print(json.dumps({"seconds": perf_counter() - begun, "bytes": peak() - base, "base": base}))


def measure(ckpt_path: str, words: int, folder: Path) -> dict:
    path = folder / f"{words}.txt"
    sample = ["train.py", "sample", "--ckpt_path", ckpt_path, "--num", str(words), "--seed", "1"]
    subprocess.run([sys.executable, *sample, "--output", str(path)], check=True)
    command = [sys.executable, "-m", "tests.benchmarks.growth", "--child", str(path)]
    row = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    fit = ["train.py", "fit", "--config", "configs/reference/deep.yaml", "--data.path", str(path)]
    fit += ["--trainer.max_steps", "2000", "--runs_dir", str(folder), "--name", str(words)]
    subprocess.run([sys.executable, *fit], check=True, capture_output=True)
    summary = json.loads((folder / str(words) / "summary.json").read_text())
    size = path.stat().st_size
    return {**row, "words": words, "size": size, "steps_per_s": summary["steps_per_s"]}


def markdown(rows: list[dict]) -> str:
    lines = ["| words | file | first minibatch after | peak memory | per further byte | steps/s |"]
    lines += ["|---|---|---|---|---|---|"]
    for before, row in zip([None, *rows], rows, strict=False):
        per_byte = "–"  # more memory for a longer file: fixed buffers weigh on a short one
        if before:
            more = row["bytes"] - before["bytes"]
            per_byte = f"{more / (row['size'] - before['size']):.1f}"
        lines.append(
            f"| {row['words']:,} | {row['size'] / 1e6:.2f} MB | {row['seconds']:.2f} s "
            f"| {row['bytes'] / 1e6:.1f} MB | {per_byte} | {row['steps_per_s']:.0f} |"
        )
    return "\n".join(lines) + f"\n\n{where()}.\n"


def long_lists(paths: list[Path], threads: int, folder: Path) -> str:
    """The table of words.yaml on each list, the shortest first."""
    head = "list | words | counting, val | ours | | counting, test | ours | | weight | units "
    head += "| updates × batch | seconds | CPU | CPU, ms a word"
    lines = [f"| {head} |", "|---" * 14 + "|"]
    for path in sorted(paths, key=lambda path: path.stat().st_size):
        run = lists.fit(path, 42, folder, threads)
        words, cells = run["data"]["words"], []
        for split in ("val", "test"):
            counts, ours = run["baselines"]["kneser_ney"][split], run[f"{split}_loss"]
            percent = f"**{100 * (ours / counts - 1):+.1f} %**"
            cells += [f"{counts:.4f}", f"{ours:.4f}", percent]
        cells += [f"{run['mixture_weight']:.2f}", run["units"]]
        cells += [f"{run['steps']:,} × {run['batch_size']}", f"{run['seconds']:.0f}"]
        cells += [f"{run['cpu_s']:.0f}", f"{1000 * run['cpu_s'] / words:.1f}"]
        lines.append("| " + " | ".join([path.stem, f"{words:,}", *map(str, cells)]) + " |")
        print(lines[-1], file=sys.stderr, flush=True)
    return "\n".join(lines) + f"\n\n{where()}, --threads {threads}.\n"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.growth")
    parser.add_argument("--ckpt_path")
    parser.add_argument("--output")
    parser.add_argument("--lists", nargs="+", type=Path)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        return child(arguments.child)
    with tempfile.TemporaryDirectory() as folder:
        if arguments.lists:
            return print(long_lists(arguments.lists, arguments.threads, Path(folder)), end="")
        rows = [measure(arguments.ckpt_path, words, Path(folder)) for words in SIZES]
    table = markdown(rows)
    print(table, end="")
    if arguments.output:
        write_page(arguments.output, "Growth", COMMAND, __doc__, table)
    return None


if __name__ == "__main__":
    main()

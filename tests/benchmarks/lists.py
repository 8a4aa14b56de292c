"""Measures configs/words.yaml on real word lists, beside the best that counting reaches.

    python -m tests.benchmarks.lists [--only NAME …] [--seeds N …] [--output docs/lists.md]

The lists come from the packages faker and pycountry (`pip install -e '.[dev]'`). Their distinct
words are sorted. Each list is split three times (`--data.split_seed`), and each split is one `fit`
with one thread. Counting is Kneser–Ney of 1 to 8 characters; the val words choose its order and its
discount for each split. Losses are nats per character, means over the splits.

**Which lists chose the recipe.** Updates, dropout, teachers and their share were chosen on eight
other lists: faker's cities de_CH and nl_NL, language names es, surnames he_IL and en_GB, jobs
ru_RU, first names bg_BG and en. The idea of a network of eight characters, 3 × 200 units and a
mixture is older. It was tried, with one split, on eight lists of this table: cities de_DE, sk_SK
and it_IT, surnames ru_RU and it_IT, first names el_GR and de_DE, and subdivisions. What the
mixture's weight depends on was chosen on names.txt and two long lists of English words.

*weight* is the network's mean share of the mixture. *seconds* is one `fit` from its start to its
end, on a machine that other programs used, too; *CPU* is the processor time of the same.
"""

import argparse
import importlib
import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import mean
from time import perf_counter
from typing import Any

import yaml

from tests.benchmarks.report import where, write_page

COMMAND = "python -m tests.benchmarks.lists"
SEEDS = (1, 2, 3)
FAKER = {  # name: provider, locale, attribute
    "cities de_DE": ("address", "de_DE", "cities"),
    "surnames ru_RU": ("person", "ru_RU", "last_names"),
    "surnames hy_AM": ("person", "hy_AM", "last_names"),
    "jobs en_US": ("job", "en_US", "jobs"),
    "first names el_GR": ("person", "el_GR", "first_names"),
    "surnames it_IT": ("person", "it_IT", "last_names"),
    "first names de_DE": ("person", "de_DE", "first_names"),
    "cities sk_SK": ("address", "sk_SK", "cities"),
    "cities it_IT": ("address", "it_IT", "cities"),
}
PYCOUNTRY = ("countries", "subdivisions", "languages")
NAMES = (*PYCOUNTRY, *FAKER)


def words_of(name: str) -> list[str]:
    """The distinct words of a list, sorted."""
    if name in PYCOUNTRY:
        words = [entry.name for entry in getattr(importlib.import_module("pycountry"), name)]
    else:
        provider, locale, attribute = FAKER[name]
        module = importlib.import_module(f"faker.providers.{provider}.{locale}")
        words = getattr(module.Provider, attribute)
    return sorted({" ".join(word.split()) for word in words} - {""})


def fit(path: Path, seed: int, folder: Path, threads: int = 1) -> dict[str, Any]:
    """The summary of one run, with its seconds and the units of a hidden layer."""
    command = [sys.executable, "train.py", "fit", "--config", "configs/words.yaml"]
    command += ["--data.path", str(path), "--data.split_seed", str(seed), "--threads", str(threads)]
    command += ["--runs_dir", str(folder), "--name", f"{path.stem}-{seed}"]
    begun, used = perf_counter(), cpu_seconds()
    subprocess.run(command, check=True, capture_output=True)
    spent = {"seconds": perf_counter() - begun, "cpu_s": cpu_seconds() - used}
    run = folder / f"{path.stem}-{seed}"
    units = yaml.safe_load((run / "config.yaml").read_text())["model"]["n_hidden"]
    return {**json.loads((run / "summary.json").read_text()), "units": units, **spent}


def cpu_seconds() -> float:
    """The processor time of all processes that this one has started and that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def measure(name: str, seeds: list[int], folder: Path) -> dict[str, Any]:
    """A list's row: the mean of each figure over the splits, and the worst difference."""
    words = words_of(name)
    path = folder / f"{name.replace(' ', '_')}.txt"
    path.write_text("\n".join(words) + "\n", encoding="utf-8")
    runs = [fit(path, seed, folder) for seed in seeds]
    row: dict[str, Any] = {"name": name, "words": len(words)}
    for split in ("val", "test"):
        counts = [run["baselines"]["kneser_ney"][split] for run in runs]
        ours = [run[f"{split}_loss"] for run in runs]
        differences = [100 * (a / b - 1) for a, b in zip(ours, counts, strict=True)]
        row[split] = {
            "counts": mean(counts),
            "ours": mean(ours),
            "percent": mean(differences),
            "worst": max(differences),
        }
    chosen = sorted({(run["kneser_ney"]["order"], run["kneser_ney"]["discount"]) for run in runs})
    row["chosen"] = ", ".join(f"{order}/{discount}" for order, discount in chosen)
    for figure in ("mixture_weight", "seconds", "cpu_s"):
        row[figure] = mean(run[figure] for run in runs)
    return row


def markdown(rows: list[dict[str, Any]]) -> str:
    """The table, and what it comes to."""
    head = "list | words | order/discount | counting, val | ours | | counting, test | ours | "
    head += "| weight | seconds | CPU"
    lines = [f"| {head} |", "|---" * 12 + "|"]
    for row in rows:
        cells = [row["name"], f"{row['words']:,}", row["chosen"]]
        for split in ("val", "test"):
            found = row[split]
            cells += [f"{found['counts']:.4f}", f"{found['ours']:.4f}"]
            cells.append(f"**{found['percent']:+.1f} %** ({found['worst']:+.1f})")
        cells.append(f"{row['mixture_weight']:.2f}")
        cells += [f"{row['seconds']:.0f}", f"{row['cpu_s']:.0f}"]
        lines.append("| " + " | ".join(cells) + " |")
    means = {s: mean(row[s]["percent"] for row in rows) for s in ("val", "test")}
    worst = {s: max(row[s]["worst"] for row in rows) for s in ("val", "test")}
    lines += ["", "In brackets: the worst split.", ""]
    lines.append(
        f"On average {means['val']:+.1f} % on val and {means['test']:+.1f} % on test; the worst "
        f"split of all: {worst['val']:+.1f} % on val, {worst['test']:+.1f} % on test."
    )
    return "\n".join(lines) + f"\n\n{where()}.\n"


def main() -> None:
    parser = argparse.ArgumentParser(prog=COMMAND)
    parser.add_argument("--only", nargs="+", choices=NAMES, default=NAMES)
    parser.add_argument("--seeds", nargs="+", type=int, default=SEEDS)
    parser.add_argument("--output")
    arguments = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name in arguments.only:
            rows.append(measure(name, arguments.seeds, Path(folder)))
            print(json.dumps(rows[-1], ensure_ascii=False), file=sys.stderr, flush=True)
    rows.sort(key=lambda row: row["words"])
    table = markdown(rows)
    print(table, end="")
    if arguments.output:
        write_page(arguments.output, "Word lists", COMMAND, __doc__, table)


if __name__ == "__main__":
    main()

"""The results of each configuration: README, results.md and the config headers repeat them.

python docs/results.py make [CONFIG …]    trains these configurations (default: all), with all seeds
python docs/results.py add RUN_FOLDER …   copies the summary.json of finished runs to results.json
python docs/results.py write              writes README's table, results.md and the config headers
python docs/results.py check              exit status 1 if these files differ from results.json
"""

import json
import re
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from pathlib import Path
from statistics import mean, stdev

from scipy.stats import ttest_1samp

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "docs" / "results.json"
LOSSES = ("train_loss", "val_loss", "test_loss", "val_loss_novel", "test_loss_novel")
KEPT = ("config", "params", "steps", "batch_size", "block_size", "seed", "wall_s", "steps_per_s")
HEAD = ["params", "window", "steps × batch", "wall-clock", "train", "val", "test"]
NOVEL = ["val, novel", "test, novel", "seeds", "commit"]
SEEDS = dict.fromkeys(
    (
        "names_distilled.yaml",
        "names_mixture.yaml",
        "best_small.yaml",
        "best.yaml",
        "ten_seconds.yaml",
    ),
    range(42, 47),
) | {"names.yaml": range(42, 52)}
DEEP = 2.0962  # the published val loss of deep, which names.yaml reaches sooner
AT_ONCE = 2  # runs of a thread each
TELLING = (
    "reference/deep",
    "names",
    "names_distilled",
    "ten_seconds",
    "best_small",
    "best",
)  # README's rows

# Others' figures: name, parameters, window, steps × batch, train, val, test, our configuration.
PUBLISHED = """
uniform | 0 | 0 | | 3.2958 | 3.2958 | 3.2958 |
unigram | 26 | 0 | | | 2.8210 | |
bigram, add-one | 729 | 1 | | 2.454 | 2.453 | |
lecture, one-layer MLP | 11,897 | 3 | 200k × 32 | 2.1260 | 2.1701 | |
lecture, with BatchNorm | 12,097 | 3 | 200k × 32 | 2.0668 | 2.1048 | |
one hidden layer, by hand | 6,197 | 3 | 100k × 32 | 2.1355 | 2.1542 | 2.1546 | reference/one_layer
deep, torch-like layers | 46,997 | 3 | 100k × 32 | 2.0422 | 2.0962 | | reference/deep
a re-run with BN on the logits | 47,551 | 3 | 200k × 32 | 2.0109 | 2.0822 | | reference/logits_bn
deep, a blog series | 47,024 | 3 | 200k × 32 | | | | reference/blog
best printed neural (Flax) | ~47k | 3 | 120k × 128 | 1.9249 | 2.0769 | | names_distilled
lowest loss that 3 characters allow | | 3 | | 1.8691 | | |
Kneser–Ney 4-gram | counts | 3 | | 1.9230 | 2.0608 | 2.0636 | names_mixture
lecture, WaveNet | 76,579 | 8 | | | 1.9937 | | best_small
public WaveNet re-run | ~76k | 8 | | | 1.9878 | 1.9826 | best_small
best public WaveNet re-run | ~287k | 8 | | | 1.9775 | | best
GRU of torch.nn | 28,443 | whole word | 75k × 32 words | 1.8990 | 2.0125 | 2.0097 |
Kneser–Ney 6-gram, discount 0.9 | counts | 5 | | | 1.9836 | 1.9869 | best
"""


def make(configs: list[str]) -> None:
    """Trains configurations in a temporary folder. Adds all runs at the end: a results file that
    changed earlier would mark the commits of the later runs as dirty."""
    every = sorted({row["config"] for row in load()} | {f"configs/{name}" for name in SEEDS})
    seeded = []
    with tempfile.TemporaryDirectory() as folder:
        for config in configs or every:
            name = Path(config).name
            command = [sys.executable, "train.py", "fit", "--config", config, "--runs_dir", folder]
            if name not in SEEDS:
                subprocess.run(command, cwd=ROOT)
            for seed in SEEDS.get(name, ()):
                own = ["--threads", "1", "--seed_everything", str(seed), "--name", f"{name}-{seed}"]
                seeded.append([*command, *own])
        with ThreadPoolExecutor(AT_ONCE) as pool:
            for command in seeded:
                pool.submit(subprocess.run, command, cwd=ROOT)
        add([str(path.parent) for path in Path(folder).glob("*/summary.json")])


def add(folders: list[str]) -> None:
    """Adds runs; a run replaces the one of the same config and seed."""
    rows = {(row["config"], row["seed"]): row for row in load()}
    for folder in folders:
        summary = json.loads((Path(folder) / "summary.json").read_text())
        row = {key: summary[key] for key in (*KEPT, *LOSSES)}
        row |= {"final_val_loss": summary["final"]["val_loss"], "machine": summary["machine"]}
        row["unhealthy"] = {k: v for k, v in summary["health"].items() if v != "ok"}
        row |= {"torch": summary["versions"]["torch"], "git_commit": summary["git_commit"]}
        if "network" in summary:
            row |= {"mixture_weight": summary["mixture_weight"], "network": summary["network"]}
        rows[row["config"], row["seed"]] = row
    ordered = sorted(rows.values(), key=lambda row: (row["config"], row["seed"]))
    RESULTS.write_text(json.dumps(ordered, indent=1) + "\n")


def load() -> list[dict]:
    return json.loads(RESULTS.read_text()) if RESULTS.exists() else []


def by_config() -> dict[str, list[dict]]:
    """The runs of each configuration, by its name without configs/ and .yaml."""
    groups = groupby(load(), key=lambda row: row["config"])
    return {
        config.removeprefix("configs/").removesuffix(".yaml"): list(rows) for config, rows in groups
    }


def documents() -> dict[Path, str]:
    """The text that each file with results should have."""
    found = by_config()
    readme = ROOT / "README.md"
    telling = {name: found[name] for name in TELLING if name in found}
    table = f"<!-- results: docs/results.py write -->\n{ours(telling)}\n{where()}<!-- end -->"
    pattern = r"<!-- results: docs/results.py write -->\n.*?<!-- end -->"
    texts = {readme: re.sub(pattern, lambda _: table, readme.read_text(), flags=re.DOTALL)}
    texts[ROOT / "docs" / "results.md"] = page(found)
    for name, rows in found.items():
        path = ROOT / "configs" / f"{name}.yaml"
        line = header(rows)
        texts[path] = re.sub(r"^# Reached:.*$", lambda _: line, path.read_text(), flags=re.M)  # noqa: B023
    return texts


def page(found: dict[str, list[dict]]) -> str:
    return f"""# Results

* **Losses** are nats per character, of the best checkpoint. The words are names.txt, with split
  seed 42. Only quickstart.yaml uses data/names_small.txt; do not compare it with the others.
* **Seeds.** With several seeds, a figure is the mean ± the standard deviation. The split is the
  same for all seeds.
* **Selection.** The configurations were chosen by the val loss alone. The test loss chose nothing.
* **Novel** names are the names of val or test that do not also occur among the training names.
* **Wall-clock** is the time from the start of the command to the end of training. It includes the
  training of the teachers. It does not include the evaluation at the end.

`python docs/results.py make` and `write` made this page. Runs with several seeds had one thread
each, and two of them ran at a time, beside other work. So their wall-clock is that of the shortest;
of best.yaml this is the first seed, alone on both cores.

## Published results and ours

An arrow (→) marks our result for the row above it. The figures of the lectures come from their
notebooks ([nn-zero-to-hero](https://github.com/karpathy/nn-zero-to-hero)). The other figures are
those that their authors printed. The GRU is a yardstick that nobody has published: `python -m
tests.benchmarks.yardsticks gru`, one seed. It sees the whole word so far. Uniform, unigram, bigram
and Kneser–Ney (discount 0.8) are count models. `fit` prints their losses; of Kneser–Ney, with the
order and the discount that are best on val. The tests compare these losses with the figures of this
table, and also the lowest loss that three characters allow.

`one_layer` and `deep` reach the published final losses if they start from the random numbers of
their authors. `pytest -m slow tests/training/test_replay.py` tests this.

{beside(found)}
{sooner(found["names"])}
## All configurations

{ours(found)}
{where()}"""


def sooner(rows: list[dict]) -> str:
    """Whether names.yaml is below the loss that others reach with 100,000 updates."""
    losses = [row["val_loss"] for row in rows]
    p = ttest_1samp(losses, DEEP, alternative="less").pvalue
    return (
        f"The val loss of names.yaml is below the {DEEP} of deep: p = {p:.0e} (one-sided t-test, "
        f"{len(rows)} seeds).\n"
    )


def ours(found: dict[str, list[dict]]) -> str:
    table = [["config", *HEAD, *NOVEL]]
    for name, rows in found.items():
        table.append([f"{name}.yaml", *figures(rows)])
        if "network" in rows[0]:
            alone = [{**row, **row["network"]} for row in rows]
            weight = mean(row["mixture_weight"] for row in rows)
            said = f"the network alone (weight in the mixture: {weight:.2f})"
            table.append([said, *figures(alone)])
    return markdown(table)


def beside(found: dict[str, list[dict]]) -> str:
    """Every published row with ours below it."""
    table = [["", *HEAD, *NOVEL]]
    for line in PUBLISHED.strip().splitlines():
        name, params, window, steps, train, val, test, config = map(str.strip, line.split("|"))
        table.append([name, params, window, steps, "", train, val, test, *[""] * len(NOVEL)])
        if config in found:
            table.append([f"→ {config}.yaml", *figures(found[config])])
    return markdown(table)


def figures(rows: list[dict]) -> list[str]:
    """A configuration's cells, below HEAD and NOVEL."""
    first = rows[0]

    def cell(key: str) -> str:
        values = [row[key] for row in rows]
        return f"{mean(values):.4f}" + (f" ± {stdev(values):.4f}" if len(values) > 1 else "")

    losses = [cell(key) for key in LOSSES]
    return [
        f"{first['params']:,}",
        str(first.get("block_size", 3)),
        f"{first['steps']:,} × {first['batch_size']:,}",
        clock(min(row["wall_s"] for row in rows)),
        *losses,
        str(len(rows)),
        first["git_commit"],
    ]


def markdown(table: list[list[str]]) -> str:
    lines = [table[0], ["---"] * len(table[0]), *table[1:]]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines) + "\n"


def where() -> str:
    machines = sorted({f"{row['machine']}, torch {row['torch']}" for row in load()})
    return f"On {'; '.join(machines)}.\n"


def header(rows: list[dict]) -> str:
    losses = [
        f"{key.removesuffix('_loss')} {mean(row[key] for row in rows):.4f}" for key in LOSSES[:3]
    ]
    seeds = f" (mean of {len(rows)} seeds)" if len(rows) > 1 else ""
    took = f"{clock(min(row['wall_s'] for row in rows))} on {rows[0]['machine']}"
    return f"# Reached: {', '.join(losses)}{seeds} in {took}; commit {rows[0]['git_commit']}"


def clock(seconds: float) -> str:
    return f"{seconds // 60:.0f}:{seconds % 60:02.0f} min"


def main(arguments: list[str]) -> int:
    if arguments[:1] == ["make"]:
        make(arguments[1:])
    elif arguments[:1] == ["add"] and arguments[1:]:
        add(arguments[1:])
    elif arguments == ["write"]:
        for path, text in documents().items():
            path.write_text(text)
    elif arguments == ["check"]:
        texts = documents()
        stale = [str(p) for p, text in texts.items() if not p.exists() or p.read_text() != text]
        if stale:
            print(f"{', '.join(stale)}: out of date; run: python docs/results.py write")
        return int(bool(stale))
    else:
        print(__doc__)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

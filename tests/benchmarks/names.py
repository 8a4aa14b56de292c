"""Measures what names are drawn by --top_p and --temperature, on the word lists of lists.md.

    python -m tests.benchmarks.names [--only NAME …] [--runs FOLDER] [--output docs/names.md]

Each list is one `fit` of configs/words.yaml with `--data.split_seed 1` and one thread (`--runs`
keeps the runs, and takes those that are there). From each network 10,000 names are drawn in each
way, with one seed.

*found* is how many of the held-out words (val and test, which the network has not learnt from) are
among the 10,000 names. *impossible* is the share of names with a pair of neighbouring characters,
begin and end included, that no word of the whole list has. *copies* is the share of names that are
training words, *different* that of names that were not drawn before.
"""

import argparse
import sys
import tempfile
from itertools import pairwise
from pathlib import Path
from statistics import mean
from typing import NamedTuple

from lit_makemore.model import NameModel, load
from lit_makemore.sampling.sampler import USUAL, Decoding
from lit_makemore.words.corpus import word_hash
from lit_makemore.words.vocab import END
from tests.benchmarks.lists import NAMES, fit, words_of
from tests.benchmarks.report import where, write_page

COMMAND = "python -m tests.benchmarks.names"
NUM, SEED = 10_000, 1
WAYS = {
    "as the network says": Decoding(),
    "temperature 0.8": Decoding(temperature=0.8),
    "top_p 0.95": Decoding(top_p=0.95),
    "top_p 0.9": Decoding(top_p=0.9),
}


class Found(NamedTuple):
    found: int
    impossible: float  # in %, as the next two
    copies: float
    different: float

    def cells(self) -> list[str]:
        return [f"{self.found:,.0f}", *(f"{value:.1f} %" for value in self[1:])]


def pairs(word: str) -> set[tuple[str, str]]:
    return {*pairwise(f"{END}{word}{END}")}


def judge(names: list[str], words: list[str], model: NameModel) -> Found:
    """The figures of names that a network drew which was trained on a part of the words."""
    train = set(model.train_hashes.tolist())
    held_out = {word for word in words if word_hash(word) not in train}
    possible = set[tuple[str, str]]().union(*map(pairs, words))
    shares = (
        sum(not pairs(name) <= possible for name in names),
        sum(word_hash(name) in train for name in names),
        len(set(names)),
    )
    return Found(len(held_out & {*names}), *(100 * share / len(names) for share in shares))


def measure(name: str, folder: Path) -> tuple[str, dict[str, Found]]:
    """What describes a list, and the figures of each way."""
    words = words_of(name)
    path = folder / f"{name.replace(' ', '_')}.txt"
    ckpt = folder / f"{path.stem}-1" / "checkpoints" / "best.ckpt"
    if not ckpt.exists():
        path.write_text("\n".join(words) + "\n", encoding="utf-8")
        fit(path, 1, folder)
    model, found = load(ckpt), {}
    for way, decoding in WAYS.items():
        options = {"temperature": decoding.temperature, "top_p": decoding.top_p}
        found[way] = judge(model.generate(NUM, SEED, **options), words, model)
    return f"{name}, {len(words):,} words", found


def markdown(rows: dict[str, dict[str, Found]]) -> str:
    lines = ["| list | drawn | found | impossible | copies | different |", "|---" * 6 + "|"]
    for row, figures in rows.items():
        for i, (way, found) in enumerate(figures.items()):
            lines.append("| " + " | ".join([row if i == 0 else "", way, *found.cells()]) + " |")
    for i, way in enumerate(WAYS):
        columns = zip(*(figures[way] for figures in rows.values()), strict=True)
        total, *shares = columns
        overall = Found(sum(total), *map(mean, shares))
        cells = [f"**{cell}**" for cell in overall.cells()]
        title = "**all: sum, means**" if i == 0 else ""
        lines.append("| " + " | ".join([title, way, *cells]) + " |")
    usual = f"`sample`, `generate` and the page draw with top_p {USUAL.top_p:g} and temperature "
    usual += f"{USUAL.temperature:g}, unless they are told otherwise; `fit` and TensorBoard show "
    usual += "names as the network says, as the lecture does."
    return "\n".join([*lines, "", usual, "", f"{where()}.\n"])


def main() -> None:
    parser = argparse.ArgumentParser(prog=COMMAND)
    parser.add_argument("--only", nargs="+", choices=NAMES, default=NAMES)
    parser.add_argument("--runs", type=Path)
    parser.add_argument("--output")
    arguments = parser.parse_args()
    rows = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in arguments.only:
            row, found = measure(name, arguments.runs or Path(folder))
            rows[row] = found
            print(row, *map(str, found.items()), sep="\n  ", file=sys.stderr, flush=True)
    table = markdown(rows)
    print(table, end="")
    if arguments.output:
        write_page(arguments.output, "How names are drawn", COMMAND, __doc__, table)


if __name__ == "__main__":
    main()

"""Finished runs, and tables of them as text: for a terminal, and as Markdown."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any, NamedTuple
from unicodedata import category, combining, east_asian_width

from lit_makemore.runs.folder import is_finished, read_config
from lit_makemore.runs.resume import that_count
from lit_makemore.words.vocab import visible

HEAD = ("val", "test", "val, novel", "test, novel", "s/run")
LOSSES = ("val_loss", "test_loss", "val_loss_novel", "test_loss_novel")  # in summary.json


class Finished(NamedTuple):
    folder: Path
    options: dict[str, Any]  # those that change its result, without the seed
    seed: int
    summary: dict[str, Any]  # what is in summary.json


def read(folder: Path) -> Finished:
    """Reads a run; FileNotFoundError if it is not there or not finished, ValueError if damaged."""
    if not (folder / "config.yaml").is_file():
        raise FileNotFoundError(f"{folder} is no run folder: there is no config.yaml in it")
    if not is_finished(folder):
        raise FileNotFoundError(f"{folder} is not finished; continue it with fit --resume {folder}")
    try:
        summary = json.loads((folder / "summary.json").read_text("utf-8"))
        options = that_count(read_config(folder / "config.yaml"))
        run = Finished(folder, options, options.pop("seed_everything"), summary)
        cells([run]), hash(run.seed), summary["val_loss"]  # they are there, and of the right types
        "".join([summary["data"]["sha256"], *summary.get("health", {}).values()])
        return run
    except Exception as error:  # a stranger's file may hold anything
        raise ValueError(f"{folder} is damaged ({error!r}); train it again") from error


def losses(runs: Iterable[Finished], key: str) -> list[float]:
    """A loss of several runs, in nats, without those that have none: a split may be empty."""
    return [run.summary[key] for run in runs if run.summary.get(key) is not None]


def cells(runs: Sequence[Finished]) -> list[str]:
    """What a row of runs says below HEAD."""
    seconds = mean(run.summary["wall_s"] for run in runs)
    return [*(mean_and_sd(losses(runs, key)) for key in LOSSES), f"{seconds:.1f}"]


def mean_and_sd(values: Sequence[float]) -> str:
    """ "2.0922 ± 0.0019"; one value alone has no standard deviation, and "–" stands for none."""
    spread = f" ± {stdev(values):.4f}" if len(values) > 1 else ""
    return f"{mean(values):.4f}{spread}" if values else "–"


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """The rows, the head first, with the first column on the left, the others on the right."""
    columns: list[list[str]] = []
    for column in zip(*(map(visible, row) for row in rows), strict=True):
        width = max(map(displayed_width, column))
        pads = [" " * (width - displayed_width(cell)) for cell in column]
        both = (column, pads) if not columns else (pads, column)
        columns.append(list(map("".join, zip(*both, strict=True))))
    return "\n".join("  ".join(row).rstrip() for row in zip(*columns, strict=True))


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """The rows as a Markdown table; the first row is the head."""
    safe = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    lines = [safe[0], ["---"] * len(rows[0]), *safe[1:]]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def short_names(options: Sequence[str]) -> dict[str, str]:
    """The last part of each option's name, where no other one has the same: "lr" for "model.lr"."""
    last = [option.rpartition(".")[2] for option in options]
    return {o: s if last.count(s) == 1 else o for o, s in zip(options, last, strict=True)}


def typed(value: object) -> str:
    """A value of an option as it is typed."""
    return value if isinstance(value, str) else json.dumps(value, default=str)


def shown(value: object) -> str:
    """The same, a number with at most four digits that count."""
    return f"{value:.4g}" if isinstance(value, float) else typed(value)


def displayed_width(text: str) -> int:
    """The columns of a terminal that a text takes: two for a Chinese character or an emoji."""
    seen = [c for c in text if not combining(c) and category(c) != "Cf"]
    return len(seen) + sum(east_asian_width(c) in "WF" for c in seen)

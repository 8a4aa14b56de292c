"""Finished runs beside each other: what differs, what they reached, and whether that may be chance.

A row of a table is a list of runs that differ in nothing but the seed.
"""

import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import inf, isnan
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import yaml

from lit_makemore.runs.folder import is_finished
from lit_makemore.runs.resume import that_count
from lit_makemore.runs.tables import aligned, short_names, shown

HEAD = ("val", "test", "val, novel", "test, novel")
LOSSES = ("val_loss", "test_loss", "val_loss_novel", "test_loss_novel")  # in summary.json
SPLIT = ("splits", "split_seed", "lowercase", "strip")


@dataclass(frozen=True)
class Finished:
    """A finished run.

    Args:
        folder: where it lies.
        options: those that change its result, by their names as they are typed; without the seed.
        seed: of the parameters and of the order of the minibatches.
        summary: the content of its summary.json.
    """

    folder: Path
    options: dict[str, Any]
    seed: int
    summary: dict[str, Any]


def read(folder: Path) -> Finished:
    """Reads the folder of a finished run.

    Raises:
        FileNotFoundError: it is no run folder, or the run is not finished.
        ValueError: a file in it is damaged.
    """
    if not (folder / "config.yaml").is_file():
        raise FileNotFoundError(f"{folder} is no run folder: there is no config.yaml in it")
    if not is_finished(folder):
        raise FileNotFoundError(f"{folder} is not finished; continue it with fit --resume {folder}")
    try:
        summary = json.loads((folder / "summary.json").read_text("utf-8"))
        summary["val_loss"], summary["wall_s"], summary["data"]["sha256"]  # they are all there
        options = that_count(yaml.safe_load((folder / "config.yaml").read_text("utf-8")))
        return Finished(folder, options, options.pop("seed_everything"), summary)
    except (ValueError, KeyError, TypeError, AttributeError, yaml.YAMLError) as error:
        raise ValueError(f"{folder} is damaged ({error!r}); train it again") from error


def all_below(paths: Iterable[Path]) -> list[Finished]:
    """Finished runs: each path is a run folder, or a folder of some; there, others are left out.

    Raises:
        FileNotFoundError, ValueError: see `read`; also a folder without a finished run.
    """
    runs = {}
    for path in paths:
        inside = [path]
        if path.is_dir() and not (path / "config.yaml").is_file():
            every = sorted(config.parent for config in path.glob("*/config.yaml"))
            inside = [run for run in every if is_finished(run)]
            if left_out := [run.name for run in every if run not in inside]:
                print(f"{path}: not finished: {', '.join(left_out)}", file=sys.stderr)
            if not inside:
                raise FileNotFoundError(f"{path} is no run folder, and has no finished run in it")
        runs.update({run.resolve(): read(run) for run in inside})
    return list(runs.values())


def losses(row: Iterable[Finished], key: str) -> list[float]:
    """A loss of several runs, in nats, without those that have none: a split may be empty."""
    return [run.summary[key] for run in row if run.summary.get(key) is not None]


def cells(row: Sequence[Finished]) -> list[str]:
    """What a table says below HEAD, mean ± standard deviation; "–" for no losses."""
    by_key = [losses(row, key) for key in LOSSES]
    return [mean_and_sd(found) if found else "–" for found in by_key]


def mean_and_sd(values: Sequence[float]) -> str:
    """ "2.0922 ± 0.0019"; one value alone has no standard deviation."""
    return f"{mean(values):.4f}" + (f" ± {stdev(values):.4f}" if len(values) > 1 else "")


def seconds(row: Sequence[Finished]) -> str:
    """The mean wall-clock time of a run."""
    return f"{mean(run.summary['wall_s'] for run in row):.1f}"


def comparison(runs: Sequence[Finished]) -> str:
    """A table of runs, lowest val loss first. Runs that differ in nothing but the seed are one row.

    Two runs that do not even differ in the seed are two rows.

    Raises:
        ValueError: SciPy is needed for seeds, and is not installed.
    """
    rows = sorted(_rows(runs), key=lambda row: mean(losses(row, "val_loss") or [inf]))
    options = sorted({name for row in rows for name in row[0].options})
    names = short_names(
        [name for name in options if len({str(row[0].options.get(name)) for row in rows}) > 1]
    )
    tested = LOSSES[:2] if len(rows[0]) > 1 and any(len(row) > 1 for row in rows[1:]) else ()
    head = ["run", *names.values(), "seeds", *HEAD, "health", "s/run"]
    table = [head + ["p, val", "p, test"][: len(tested)]]
    for row in rows:
        more = f" and {len(row) - 1} more" if len(row) > 1 else ""
        values = [shown(row[0].options.get(name)) for name in names]
        line = [f"{row[0].folder}{more}", *values, str(len(row)), *cells(row), _health(row)]
        table.append([*line, seconds(row), *(_p(rows[0], row, key) for key in tested)])
    note = (
        "p: the chance that the first row leads by as much or more, if the true losses are equal\n"
        "(Welch's one-sided t-test over the seeds)"
    )
    return "\n\n".join([aligned(table), *([note] if tested else []), *_warnings(runs)])


def _rows(runs: Sequence[Finished]) -> list[list[Finished]]:
    rows: list[list[Finished]] = []
    for run in runs:
        for row in rows:
            if row[0].options == run.options and run.seed not in [other.seed for other in row]:
                row.append(run)
                break
        else:
            rows.append([run])
    return rows


def _health(row: list[Finished]) -> str:
    """The checks that failed in any of the runs; "–" where nothing was judged."""
    judged = [run.summary["health"] for run in row if "health" in run.summary]
    failed = {
        check: None for one in judged for check, said in one.items() if said.startswith("update ")
    }
    return (", ".join(failed) or "ok") if judged else "–"


def _p(best: list[Finished], row: list[Finished], key: str) -> str:
    if row is best or len(losses(row, key)) < 2 or len(losses(best, key)) < 2:
        return "–"
    p = welch(losses(best, key), losses(row, key))
    return "–" if isnan(p) else f"{p:.1g}" if p < 0.1 else f"{p:.2f}"


def welch(lower: Sequence[float], higher: Sequence[float]) -> float:
    """The p-value of Welch's one-sided t-test of "the mean of `lower` is the lower one".

    Raises:
        ValueError: SciPy is not installed.
    """
    try:
        from scipy.stats import ttest_ind
    except ModuleNotFoundError as error:
        raise ValueError(
            "the t-test over seeds needs SciPy: pip install scipy, or compare one seed each"
        ) from error
    if len({*lower}) == len({*higher}) == 1:  # nothing varies: there is no t
        return float("nan")
    return float(ttest_ind(lower, higher, equal_var=False, alternative="less").pvalue)


def _warnings(runs: Sequence[Finished]) -> list[str]:
    """What makes the losses of these runs no comparison."""
    lists = {run.summary["data"]["sha256"] for run in runs}
    splits = {str([run.options.get(f"data.{key}") for key in SPLIT]) for run in runs}
    if len(lists) == 1 and len(splits) == 1:
        return []
    what = "word lists" if len(lists) > 1 else "splits"
    return [f"These runs have different {what}: their losses say nothing about each other."]

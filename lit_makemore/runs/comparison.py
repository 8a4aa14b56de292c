"""Runs beside each other: what differs, what they reached, and whether that may be chance."""

from collections.abc import Sequence
from math import inf, isnan
from statistics import mean

from lit_makemore.runs.finished import Finished, losses, mean_and_sd
from lit_makemore.runs.tables import aligned, short_names, shown

LOSSES = {
    "val": "val_loss",
    "test": "test_loss",
    "val, novel": "val_loss_novel",
    "test, novel": "test_loss_novel",
}
SPLIT = ("splits", "split_seed", "lowercase", "strip")
NOTE = (
    "p: the chance that the first row leads by as much or more, if the true losses are equal\n"
    "(Welch's one-sided t-test over the seeds)"
)


def comparison(runs: Sequence[Finished]) -> str:
    """A table of runs, lowest val loss first. Runs that differ in nothing but the seed are one row.

    Two runs that do not even differ in the seed are two rows.

    Raises:
        ValueError: SciPy is needed for seeds, and is not installed.
    """
    rows = sorted(_rows(runs), key=_val)
    options = sorted({name for row in rows for name in row[0].options})
    differing = [
        name for name in options if len({str(row[0].options.get(name)) for row in rows}) > 1
    ]
    names = short_names(differing)
    tested = len(rows) > 1 and len(rows[0]) > 1 and any(len(row) > 1 for row in rows[1:])
    head = ["run", *names.values(), "seeds", *LOSSES, "health", "s/run"]
    if tested:
        head += ["p, val", "p, test"]
    table = [head]
    for row in rows:
        cells = [_name(row), *(shown(row[0].options.get(name)) for name in differing)]
        cells += [str(len(row)), *(mean_and_sd(losses(row, key)) for key in LOSSES.values())]
        cells += [_health(row), f"{mean(run.summary['wall_s'] for run in row):.1f}"]
        if tested:
            cells += [_p(rows[0], row, key) for key in ("val_loss", "test_loss")]
        table.append(cells)
    return "\n\n".join([aligned(table), *([NOTE] if tested else []), *_warnings(runs)])


def _rows(runs: Sequence[Finished]) -> list[list[Finished]]:
    rows: dict[str, list[Finished]] = {}
    for run in runs:
        same = str(sorted(run.options.items()))
        repeats = 0
        while any(other.seed == run.seed for other in rows.get(f"{same} {repeats}", [])):
            repeats += 1
        rows.setdefault(f"{same} {repeats}", []).append(run)
    return list(rows.values())


def _val(row: list[Finished]) -> float:
    found = losses(row, "val_loss")
    return mean(found) if found else inf


def _name(row: list[Finished]) -> str:
    others = len(row) - 1
    return f"{row[0].folder}" + (f" and {others} more" if others else "")


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

"""`compare`: finished runs beside each other, and whether a difference may be chance."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from math import inf, isnan, nan
from pathlib import Path
from statistics import mean

from lit_makemore import files
from lit_makemore.commands.output import say
from lit_makemore.runs import tables
from lit_makemore.runs.folder import is_finished

SPLIT = ("splits", "split_seed", "lowercase", "strip")
NOTE = """p: the chance that the first row leads by as much or more, if the true losses are equal
(Welch's one-sided t-test over the seeds)"""


def compare(*runs: str) -> None:
    """Shows finished runs in a table, the lowest val loss first.

    It has the options that differ, the losses in nats, the seconds of a run, and the checks that
    failed. A run is a run folder, as runs/names, or a folder of run folders, as runs/lr. Runs that
    differ in the seed alone are one row: mean ± standard deviation. With SciPy, rows of several
    seeds have a t-test: p says how easily chance alone gives such a lead.
    """
    if not runs:
        raise ValueError("which runs? compare RUN [RUN …]; see compare --help")
    print(comparison(all_below(map(files.find, runs))))


def all_below(paths: Iterable[Path]) -> list[tables.Finished]:
    runs = {}
    for path in paths:
        inside = [path]
        if path.is_dir() and not (path / "config.yaml").is_file():
            every = sorted(config.parent for config in path.glob("*/config.yaml"))
            inside = [run for run in every if is_finished(run)]
            if left_out := [run.name for run in every if run not in inside]:
                say(f"{path}: not finished: {', '.join(left_out)}")
            if not inside:
                raise FileNotFoundError(f"{path} is no run folder, and has no finished run in it")
        runs.update({run.resolve(): tables.read(run) for run in inside})
    return list(runs.values())


def comparison(runs: Sequence[tables.Finished]) -> str:
    rows = sorted(_rows(runs), key=lambda row: mean(tables.losses(row, "val_loss") or [inf]))
    options = sorted({name for run in runs for name in run.options})
    varied = [name for name in options if len({str(run.options.get(name)) for run in runs}) > 1]
    names = tables.short_names(varied)
    tested = tables.LOSSES[:2] if len(rows[0]) > 1 and any(len(row) > 1 for row in rows[1:]) else ()
    head = ["run", *names.values(), "seeds", *tables.HEAD, "health"]
    table = [head + ["p, val", "p, test"][: len(tested)]]
    for row in rows:
        more = f" and {len(row) - 1} more" if len(row) > 1 else ""
        values = [tables.shown(row[0].options.get(name)) for name in names]
        line = [f"{row[0].folder}{more}", *values, str(len(row)), *tables.cells(row), _health(row)]
        for key in tested:
            p = welch(tables.losses(rows[0], key), tables.losses(row, key))
            line.append("–" if isnan(p) or row is rows[0] else f"{p:.1g}")
        table.append(line)
    said = [tables.aligned(table)] + ([NOTE] if tested else [])
    lists = {run.summary["data"]["sha256"] for run in runs}
    splits = {str([run.options.get(f"data.{key}") for key in SPLIT]) for run in runs}
    if len(lists) > 1 or len(splits) > 1:
        what = "word lists" if len(lists) > 1 else "splits"
        said.append(f"These runs have different {what}: their losses say nothing about each other.")
    return "\n\n".join(said)


def _rows(runs: Sequence[tables.Finished]) -> list[list[tables.Finished]]:
    """Runs that differ in nothing but the seed are one row; the same seed again is another one."""
    rows, times = defaultdict(list), Counter[tuple[str, int]]()
    for run in runs:
        options = str(sorted(run.options.items()))
        times[options, run.seed] += 1
        rows[options, times[options, run.seed]].append(run)
    return list(rows.values())


def _health(row: Sequence[tables.Finished]) -> str:
    """The checks that failed in any of the runs; "–" where nothing was judged."""
    judged = [run.summary["health"] for run in row if "health" in run.summary]
    checks = [check for one in judged for check in one.items()]
    failed = dict.fromkeys(name for name, said in checks if said.startswith("update "))
    return (", ".join(failed) or "ok") if judged else "–"


def welch(lower: Sequence[float], higher: Sequence[float]) -> float:
    """The p-value of Welch's one-sided t-test; NaN without two values each, or if none varies."""
    from scipy.stats import ttest_ind

    if min(len(lower), len(higher)) < 2 or len({*lower}) == len({*higher}) == 1:
        return nan
    return float(ttest_ind(lower, higher, equal_var=False, alternative="less").pvalue)

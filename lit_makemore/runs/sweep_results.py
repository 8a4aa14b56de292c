"""What a sweep has found: sweep.md, sweep.csv and sweep.png in its folder, and a table to print."""

import csv
from collections.abc import Mapping, Sequence
from io import StringIO
from math import inf, isfinite, nan
from pathlib import Path
from statistics import mean, median, stdev
from typing import Any, NamedTuple

from matplotlib.figure import Figure

from lit_makemore.files import replacing, write_text
from lit_makemore.runs import tables
from lit_makemore.runs.folder import is_finished
from lit_makemore.runs.sweep import SEEDS, Range, Study, Sweep, Value

PRINTED = 10  # of the best trials
FAR = 4  # times as far from the best loss as the median is


class Trial(NamedTuple):
    """A finished trial, with its finished runs; the objective is infinite if one diverged."""

    number: int
    parameters: Mapping[str, Value]
    value: float
    runs: Sequence[tables.Finished] = ()


def best_first(study: Study) -> list[Trial]:
    """The finished trials of a study by their objective; those that diverged are last."""
    found = []
    for one in study.trials():
        if one.value is not None:
            runs = [tables.read(path) for path, _ in study.runs(one) if is_finished(path)]
            found.append(Trial(one.number, one.params, one.value, runs))
    return sorted(found, key=lambda trial: (trial.value, trial.number))


def write(folder: Path, sweep: Sweep, trials: Sequence[Trial], command: str) -> str:
    """Writes the results of a sweep into its folder; returns what is to be printed.

    The best one of the trials is the first; `command` trains its network.
    """
    best = f"The best trial is {trials[0].number:03}. This command trains it by itself:"
    if not isfinite(trials[0].value):
        best, command = "Every trial diverged; try lower learning rates.", ""
    names = tables.short_names(list(sweep.axes))
    rows = [["trial", *names.values(), *tables.HEAD]]
    for one in trials:
        values = [tables.shown(one.parameters[name]) for name in names]
        losses = tables.cells(one.runs) if isfinite(one.value) else ["diverged", *[""] * 4]
        rows.append([f"{one.number:03}", *values, *losses])
    with replacing(folder / "sweep.png") as file:
        picture(sweep, trials).savefig(file, format="png")
    write_text(folder / "sweep.csv", _csv(sweep, trials))
    seeds = f", seeds of each: {len(sweep.seeds)}" if sweep.seeds else ""
    write_text(
        folder / "sweep.md",
        f"# {folder.name}\n\nSampler {sweep.sampler}, trials: {len(trials)}{seeds}. Losses are in "
        f"nats per character. The trials are sorted by {sweep.objective}.\n\n{best}\n\n"
        f"```\n{command}\n```\n\n![the losses](sweep.png)\n\n{tables.markdown(rows)}\n",
    )
    more = len(trials) - PRINTED
    return (
        tables.aligned(rows[: PRINTED + 1])
        + (f"\n… and {more} more" if more > 0 else "")
        + f"\n\n{best}\n  {command}\n\nresults: {folder} (sweep.md, sweep.csv, sweep.png)\n"
        f"see the runs with: tensorboard --logdir {folder}"
    )


def _csv(sweep: Sweep, trials: Sequence[Trial]) -> str:
    """Every trial in the order of its number, unrounded; an empty cell for what there is not."""
    text = StringIO()
    rows = csv.writer(text, lineterminator="\n")
    spread = [column for key in tables.LOSSES for column in (key, f"{key}_sd")]
    rows.writerow(["trial", *sweep.axes, "runs", *spread, "wall_s"])
    for one in sorted(trials, key=lambda trial: trial.number):
        line: list[Any] = [one.number, *map(one.parameters.get, sweep.axes), len(one.runs)]
        for key in tables.LOSSES:
            found = tables.losses(one.runs, key) if isfinite(one.value) else []
            line += [mean(found) if found else "", stdev(found) if len(found) > 1 else ""]
        rows.writerow([*line, round(sum(run.summary["wall_s"] for run in one.runs), 2)])
    return text.getvalue()


def picture(sweep: Sweep, trials: Sequence[Trial]) -> Figure:
    """The loss over each axis of a sweep.

    The best trial is red. It is the first one. A cross at the top diverged, or is far worse than
    most. The values of a list stand one beside the other.
    """
    key, axes = sweep.objective, sweep.axes or sweep.space
    if not sweep.axes:  # nothing but the seed varies: a point is a run
        runs = [run for one in trials for run in one.runs]
        values = [(tables.losses([run], key) or [inf])[0] for run in runs]
        every = [Trial(0, {SEEDS: run.seed}, v) for run, v in zip(runs, values, strict=True)]
        trials = sorted(every, key=lambda one: one.value)
    low, high = limits([one.value for one in trials])
    figure = Figure(figsize=(2 + 4 * len(axes), 3.4), layout="constrained")
    for i, (name, axis) in enumerate(axes.items()):
        part = figure.add_subplot(1, len(axes), i + 1, xlabel=name, ylim=(low, high))
        part.set_ylabel("" if i else f"{key}, nats per character")
        part.grid(alpha=0.25)
        if isinstance(axis, Range):
            part.set_xscale("log" if axis.log else "linear")
        else:
            part.set_xticks(range(len(axis)), map(tables.shown, axis))
        for rank, one in enumerate(trials):
            value = one.parameters[name]
            x: Any = value if isinstance(axis, Range) else axis.index(value)
            if one.value > high:
                part.plot(x, high, "kx", clip_on=False)
                continue
            by_seed = tables.losses(one.runs, key)
            spread = stdev(by_seed) if len(by_seed) > 1 else nan
            part.errorbar(x, one.value, spread, fmt=".", color="tab:blue" if rank else "tab:red")
    return figure


def limits(values: Sequence[float]) -> tuple[float, float]:
    """The ends of the y-axis: from the best value to what is not far worse than most."""
    finite = sorted(value for value in values if isfinite(value)) or [0.0]
    bound = median(finite) + FAR * (median(finite) - finite[0])
    top = max(value for value in finite if value <= bound)
    margin = 0.05 * (top - finite[0]) or 0.01
    return finite[0] - margin, top + margin

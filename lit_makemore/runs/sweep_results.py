"""What a sweep has found: sweep.md, sweep.csv and sweep.png in its folder, and a table to print."""

import csv
from collections.abc import Mapping, Sequence
from io import StringIO
from math import inf, isfinite
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
    number: int
    parameters: Mapping[str, Value]
    value: float  # infinite if a run diverged
    runs: Sequence[tables.Finished] = ()  # those that are finished


def best_first(study: Study) -> list[Trial]:
    """The finished trials of a study by their objective; those that diverged are last."""
    found = []
    for one in study.trials():
        if one.value is not None:
            runs = [tables.read(path) for path, _ in study.runs(one) if is_finished(path)]
            found.append(Trial(one.number, one.params, one.value, runs))
    return sorted(found, key=lambda trial: trial.value)


def write(folder: Path, sweep: Sweep, trials: Sequence[Trial], command: str) -> str:
    """Writes the results; returns what is to be printed. `command` trains the first, the best."""
    best = f"The best trial is {trials[0].number:03}. This command trains it by itself:"
    if not isfinite(trials[0].value):
        best, command = "Every trial diverged; try lower learning rates.", ""
    rows = [["trial", *tables.short_names(list(sweep.axes)).values(), *tables.HEAD]]
    for one in trials:
        values = [tables.shown(one.parameters[name]) for name in sweep.axes]
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
    more = f"\n… and {len(trials) - PRINTED} more" if len(trials) > PRINTED else ""
    return (
        f"{tables.aligned(rows[: PRINTED + 1])}{more}\n\n{best}\n  {command}\n\n"
        f"results: {folder} (sweep.md, sweep.csv, sweep.png)\n"
        f"see the runs with: tensorboard --logdir {folder}"
    )


def _csv(sweep: Sweep, trials: Sequence[Trial]) -> str:
    """Every trial in the order of its number, unrounded; an empty cell for what there is not."""
    rows = csv.writer(text := StringIO(), lineterminator="\n")
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
    """The loss of each run over each option: red is the best trial, a cross far worse than most."""
    points = []
    for rank, one in enumerate(trials):
        losses: dict[Value, float] = dict.fromkeys(sweep.seeds or [0], inf)
        if isfinite(one.value):
            losses = {run.seed: run.summary[sweep.objective] for run in one.runs}
        color = "tab:blue" if rank else "tab:red"
        points += [({**one.parameters, SEEDS: s}, loss, color) for s, loss in losses.items()]
    finite = sorted(loss for _, loss, _ in points if isfinite(loss)) or [0.0]
    top = median(finite) + FAR * (median(finite) - finite[0])
    figure = Figure(figsize=(2 + 4 * len(sweep.space), 3.4), layout="constrained")
    parts = figure.subplots(1, len(sweep.space), sharey=True, squeeze=False)[0]
    parts[0].set_ylabel(f"{sweep.objective}, nats per character")
    for part, (name, axis) in zip(parts, sweep.space.items(), strict=True):
        part.set_xlabel(name)
        part.grid(alpha=0.25)
        if not isinstance(axis, Range):
            part.set_xticks(range(len(axis)), map(tables.shown, axis))
        elif axis.log:
            part.set_xscale("log")
        for parameters, loss, color in reversed(points):  # the best one above all
            value = parameters[name]
            x: Any = value if isinstance(axis, Range) else axis.index(value)
            if loss <= top:
                part.plot(x, loss, ".", color=color)
            else:  # y is a share of the height here
                part.plot(x, 1, "kx", transform=part.get_xaxis_transform(), clip_on=False)
    return figure

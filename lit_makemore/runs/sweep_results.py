"""What a sweep has found: sweep.md, sweep.csv and sweep.png in its folder, and a table to print."""

import csv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO, StringIO
from math import ceil, inf, isfinite, nan
from pathlib import Path
from statistics import mean, median, stdev
from typing import TYPE_CHECKING, Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from lit_makemore.files import replacing, write_text
from lit_makemore.runs.comparison import HEAD, LOSSES, Finished, cells, losses, read, seconds
from lit_makemore.runs.folder import is_finished
from lit_makemore.runs.sweep import SEEDS, Range, Sweep, Value
from lit_makemore.runs.tables import aligned, markdown, short_names, shown

if TYPE_CHECKING:  # Optuna is imported by the command alone
    from lit_makemore.runs.study import Study

PRINTED = 10  # of the best trials
ACROSS = 3  # parts of the picture beside each other
FAR = 4  # times as far from the best loss as the median is
WIDE = 30  # how many times the smallest value the largest one is, for a logarithmic axis
MARGIN = 0.05  # of the height, above and below the losses


@dataclass(frozen=True)
class Trial:
    """A finished trial.

    Args:
        number: counted from 0.
        parameters: by the names of the axes.
        value: the objective; infinite if a run diverged.
        runs: those that are finished, one for each seed.
    """

    number: int
    parameters: Mapping[str, Value]
    value: float
    runs: Sequence[Finished] = ()


def best_first(study: "Study") -> list[Trial]:
    """The finished trials of a study by their objective; those that diverged are last."""
    found = []
    for one in study.trials():
        if one.value is not None:
            runs = [read(path) for path, _ in study.runs(one) if is_finished(path)]
            found.append(Trial(one.number, one.params, one.value, runs))
    return sorted(found, key=lambda trial: (trial.value, trial.number))


def write(folder: Path, sweep: Sweep, trials: Sequence[Trial], command: str) -> str:
    """Writes the results of a finished sweep.

    Args:
        folder: where to.
        sweep: the sweep.
        trials: all of its trials, the best one first.
        command: trains the network of the best trial.

    Returns:
        A table of the best trials, and where the rest is.
    """
    best = f"The best trial is {trials[0].number:03}. This command trains it by itself:"
    if not isfinite(trials[0].value):
        best, command = "Every trial diverged; try lower learning rates.", ""
    rows = _table(sweep, trials)
    with replacing(folder / "sweep.png") as file:
        file.write(picture(sweep, trials))
    write_text(folder / "sweep.csv", _csv(sweep, trials))
    seeds = f", {len(sweep.seeds)} seeds each" if sweep.seeds else ""
    page = [
        f"# {folder.name}",
        f"{', '.join(sweep.configs)}; sampler {sweep.sampler}, {len(trials)} trials{seeds}. "
        f"Losses are in nats per character. The trials are sorted by {sweep.objective}.",
        best,
        *([f"```\n{command}\n```"] if command else []),
        "![the losses](sweep.png)",
        markdown(rows),
    ]
    write_text(folder / "sweep.md", "\n\n".join(page) + "\n")
    more = len(trials) - PRINTED
    return "\n\n".join(
        [
            aligned(rows[: PRINTED + 1]) + (f"\n… and {more} more" if more > 0 else ""),
            f"{best}\n  {command}" if command else best,
            f"results: {folder} (sweep.md, sweep.csv, sweep.png)\n"
            f"see the runs with: tensorboard --logdir {folder}",
        ]
    )


def _table(sweep: Sweep, trials: Sequence[Trial]) -> list[list[str]]:
    """Cells; losses in nats, mean ± standard deviation over the seeds."""
    names = short_names(list(sweep.axes))
    rows = [["trial", *names.values(), *HEAD, "s/run"]]
    for one in trials:
        found = ["diverged", *[""] * len(LOSSES)]
        if isfinite(one.value):
            found = [*cells(one.runs), seconds(one.runs)]
        rows.append([f"{one.number:03}", *(shown(one.parameters[name]) for name in names), *found])
    return rows


def _csv(sweep: Sweep, trials: Sequence[Trial]) -> str:
    """Every trial in the order of its number, unrounded; an empty cell for what there is not."""
    text = StringIO()
    rows = csv.writer(text, lineterminator="\n")
    spread = [column for key in LOSSES for column in (key, f"{key}_sd")]
    rows.writerow(["trial", *sweep.axes, "runs", *spread, "wall_s"])
    for one in sorted(trials, key=lambda trial: trial.number):
        line: list[Any] = [one.number, *map(one.parameters.get, sweep.axes), len(one.runs)]
        for key in LOSSES:
            found = losses(one.runs, key) if isfinite(one.value) else []
            line += [mean(found) if found else "", stdev(found) if len(found) > 1 else ""]
        rows.writerow([*line, round(sum(run.summary["wall_s"] for run in one.runs), 2)])
    return text.getvalue()


def picture(sweep: Sweep, trials: Sequence[Trial]) -> bytes:
    """Draws the loss over each axis of a sweep; returns a PNG.

    The best trial is red, and a cross at the top is one that diverged or is far worse than most.
    """
    key = sweep.objective
    axes: Mapping[str, Range | list[Value]] = sweep.axes
    if not axes:  # nothing but the seed varies: a point is a run
        axes = sweep.space
        trials = [
            Trial(one.number, {SEEDS: run.seed}, (losses([run], key) or [inf])[0])
            for one in trials
            for run in one.runs
        ]
    across = min(len(axes), ACROSS)
    down = ceil(len(axes) / across)
    figure = Figure(figsize=(4.6 * across if across > 1 else 6.4, 3.4 * down), layout="constrained")
    low, high = limits([one.value for one in trials])
    inside = sorted((one for one in trials if one.value <= high), key=lambda one: one.value)
    parts = figure.subplots(down, across, sharey=True, squeeze=False).flatten()
    for part in parts[len(axes) :]:
        part.remove()
    for i, (part, (name, axis)) in enumerate(zip(parts, axes.items(), strict=False)):
        place = _placer(part, axis)
        part.set(xlabel=name, ylim=(low, high))
        part.grid(alpha=0.25)
        if i % across == 0:
            part.set_ylabel(f"{key}, nats per character")
        if len(axes) == 1 and place is not shown:
            line = sorted((place(one.parameters[name]), one.value) for one in inside)
            part.plot([x for x, _ in line], [y for _, y in line], color="tab:blue", linewidth=1)
        for ones, colour in ((inside[1:], "tab:blue"), (inside[:1], "tab:red")):
            by_seed = [losses(one.runs, key) for one in ones]
            part.errorbar(
                [place(one.parameters[name]) for one in ones],
                [one.value for one in ones],
                [stdev(values) if len(values) > 1 else nan for values in by_seed],
                fmt=".", color=colour, capsize=3,
            )  # fmt: skip
        top = low + (high - low) * (1 - MARGIN / 2)
        outside = [place(one.parameters[name]) for one in trials if not one.value <= high]
        part.plot(outside, [top] * len(outside), "kx")
    file = BytesIO()
    FigureCanvasAgg(figure).print_png(file)
    return file.getvalue()


def _placer(part: Any, axis: Range | list[Any]) -> Callable[[Value], Any]:
    """Where a value is on the axis: numbers at their place, words one after the other."""
    values = [axis.low, axis.high] if isinstance(axis, Range) else axis
    if not all(type(value) in (int, float) for value in values):
        part.xaxis.update_units([shown(value) for value in values])
        return shown
    wide = min(values) > 0 and max(values) / min(values) >= WIDE
    if axis.log if isinstance(axis, Range) else wide:
        part.set_xscale("log")
    if isinstance(axis, list):
        part.set_xticks(values, map(shown, values))
        part.minorticks_off()
    return lambda value: value


def limits(values: Sequence[float]) -> tuple[float, float]:
    """The ends of the y-axis: from the best value to what is not far worse than most."""
    finite = sorted(value for value in values if isfinite(value))
    if not finite:
        return 0.0, 1.0
    bound = median(finite) + FAR * (median(finite) - finite[0])
    top = max(value for value in finite if value <= bound)
    margin = MARGIN * (top - finite[0]) or 0.01
    room = 2 * margin if top < max(values, default=inf) else margin
    return finite[0] - margin, top + room

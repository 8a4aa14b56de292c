"""The picture of a sweep: the loss over its one axis, or one part for each of several axes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from math import ceil, inf, isfinite
from statistics import median, stdev
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from lit_makemore.runs.sweep import Range, Sweep, Value
from lit_makemore.runs.tables import shown

ACROSS = 3  # parts beside each other
FAR = 4  # times as far from the best loss as the median is
WIDE = 30  # how many times the smallest value the largest one is, for a logarithmic axis
MARGIN = 0.05  # of the height, above and below the losses


@dataclass(frozen=True)
class Point:
    """A trial.

    Args:
        parameters: by the names of the axes.
        value: the loss; infinite if a run diverged.
        by_seed: the losses of its runs.
    """

    parameters: Mapping[str, Value]
    value: float
    by_seed: Sequence[float]


def picture(sweep: Sweep, trials: Sequence[Point]) -> bytes:
    """Draws the trials of a sweep; returns a PNG.

    The best one is red, and a cross at the top is one that diverged or is far worse than most.
    """
    axes = sweep.axes or sweep.space  # the seeds, where nothing else varies
    across = min(len(axes), ACROSS)
    down = ceil(len(axes) / across)
    figure = Figure(figsize=(4.6 * across if across > 1 else 6.4, 3.4 * down), layout="constrained")
    low, high = limits([trial.value for trial in trials])
    parts = figure.subplots(down, across, sharey=True, squeeze=False).flatten()
    for part in parts[len(axes) :]:
        part.remove()
    best = min(trials, key=lambda trial: trial.value)
    for i, (part, (name, axis)) in enumerate(zip(parts, axes.items(), strict=False)):
        part.set_xlabel(name)
        part.set_ylim(low, high)
        part.grid(alpha=0.25)
        if i % across == 0:
            part.set_ylabel(f"{sweep.objective}, nats per character")
        place = _placer(part, axis)
        shown_ones = [trial for trial in trials if trial.value <= high]
        others = [trial for trial in trials if not trial.value <= high]
        if len(axes) == 1:
            line = sorted((place(one.parameters.get(name)), one.value) for one in shown_ones)
            part.plot(*zip(*line, strict=True), color="tab:blue", linewidth=1) if line else None
        for one in shown_ones:
            sd = stdev(one.by_seed) if len(one.by_seed) > 1 else 0
            colour = "tab:red" if one is best else "tab:blue"
            x = place(one.parameters.get(name))
            part.errorbar(x, one.value, sd or None, fmt=".", color=colour, capsize=3)
        top = low + (high - low) * (1 - MARGIN / 2)
        part.plot([place(one.parameters.get(name)) for one in others], [top] * len(others), "kx")
    file = BytesIO()
    FigureCanvasAgg(figure).print_png(file)
    return file.getvalue()


def _placer(part: Any, axis: Range | Sequence[Value]) -> Any:
    """Where a value is on the axis: numbers at their place, anything else one after the other."""
    values = [axis.low, axis.high] if isinstance(axis, Range) else list(axis)
    numbers = [x for x in values if isinstance(x, int | float) and not isinstance(x, bool)]
    if values and len(numbers) == len(values):
        ratio = max(numbers) / min(numbers) if min(numbers) > 0 else 1
        if axis.log if isinstance(axis, Range) else ratio >= WIDE:
            part.set_xscale("log")
        if not isinstance(axis, Range):
            part.set_xticks(values, [shown(value) for value in values])
            part.minorticks_off()
        return lambda value: value
    places = {str(value): i for i, value in enumerate(values)}
    part.set_xticks(range(len(values)), [shown(value) for value in values])
    return lambda value: places.get(str(value), 0)


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

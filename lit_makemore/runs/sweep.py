"""What a sweep is: a configuration, and the options that vary around it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import exp, log, prod
from typing import Literal

Value = bool | int | float | str | None
SEEDS = "seed_everything"
MOST_POINTS = 100_000  # of a grid


@dataclass(frozen=True)
class Range:
    """The numbers between two ends, both included; integers if both ends are.

    Args:
        low: the lower end.
        high: the upper end.
        log: whether equal factors count as equal steps.
        points: how many of them a grid tries; without it, every integer.
    """

    low: int | float
    high: int | float
    log: bool = False
    points: int | None = None

    @property
    def of_integers(self) -> bool:
        return isinstance(self.low, int) and isinstance(self.high, int)

    def grid(self) -> list[Value]:
        """The points that a grid tries, in ascending order."""
        if self.points is None:
            return list(range(int(self.low), int(self.high) + 1))
        ends = (log(self.low), log(self.high)) if self.log else (self.low, self.high)
        even = [ends[0] + (ends[1] - ends[0]) * i / (self.points - 1) for i in range(self.points)]
        found = [exp(x) if self.log else x for x in even]
        if self.of_integers:
            return list(dict.fromkeys(round(x) for x in found))
        return [float(f"{x:.6g}") for x in found]


@dataclass(frozen=True)
class Sweep:
    """A sweep, as its YAML file describes it.

    Args:
        config: the configuration of all runs, or several, as --config of fit takes them.
        space: what varies: for each option a list of values, or a range. The seeds in
            seed_everything are all trained for every trial; its loss is their mean.
        options: further options of all runs, by their names on the command line of fit.
        sampler: grid tries everything; random draws; tpe looks near what was good.
        trials: how many are made; a grid knows it by itself.
        objective: the loss that counts, by its name in summary.json.
    """

    config: str | list[str]
    space: dict[str, Range | list[Value]]
    options: dict[str, Value | list[Value]] = field(default_factory=dict)
    sampler: Literal["grid", "random", "tpe"] = "grid"
    trials: int | None = None
    objective: Literal["val_loss", "val_loss_novel", "train_loss"] = "val_loss"

    def __post_init__(self) -> None:
        """Checks what types do not say.

        Raises:
            ValueError: the space makes no sweep; the line says what to do.
        """
        if not self.space:
            raise ValueError("the space is empty; name an option that varies, as model.lr")
        for name, axis in self.space.items():
            _check_axis(name, axis, self.sampler == "grid" or name == SEEDS)
        if not all(type(seed) is int for seed in self.seeds or ()):
            raise ValueError(f"{SEEDS} in the space takes integers, not {self.seeds}")
        if both := self.space.keys() & self.options.keys():
            raise ValueError(f"{min(both)} is in the space and in the options; leave one out")
        if self.sampler == "grid" and self.trials is not None:
            raise ValueError(
                f"a grid has as many trials as points, here {self.n_trials}; leave out trials, or "
                "set sampler to random or tpe"
            )
        if self.sampler == "grid" and self.n_trials > MOST_POINTS:
            raise ValueError(f"the grid has {self.n_trials:,} points; use sampler random or tpe")
        if self.sampler != "grid" and not self.axes:
            raise ValueError("seeds alone leave nothing to draw; set sampler to grid")
        if self.sampler != "grid" and (self.trials is None or self.trials < 1):
            raise ValueError(
                f"sampler {self.sampler} needs the number of trials, at least 1, not {self.trials}"
            )

    @property
    def axes(self) -> dict[str, Range | list[Value]]:
        """The space without the seeds."""
        return {name: axis for name, axis in self.space.items() if name != SEEDS}

    @property
    def seeds(self) -> list[Value] | None:
        """The seeds of every trial; None if they are no axis."""
        return points(self.space[SEEDS]) if SEEDS in self.space else None

    @property
    def n_trials(self) -> int:
        if self.sampler == "grid":
            return prod(len(points(axis)) for axis in self.axes.values())
        return self.trials or 0

    @property
    def configs(self) -> list[str]:
        return [self.config] if isinstance(self.config, str) else self.config

    def ends(self) -> list[dict[str, Value]]:
        """Parameters that use each value of a list and each end of a range once."""
        by_axis = {
            name: [axis.low, axis.high] if isinstance(axis, Range) else axis
            for name, axis in self.axes.items()
        }
        first: dict[str, Value] = {name: values[0] for name, values in by_axis.items()}
        others = [{**first, name: x} for name, values in by_axis.items() for x in values[1:]]
        return [first, *others]


def points(axis: Range | Sequence[Value]) -> list[Value]:
    """What a grid tries of an axis."""
    return axis.grid() if isinstance(axis, Range) else list(axis)


def fit_arguments(
    sweep: Sweep, parameters: Mapping[str, Value], seed: Value | None = None
) -> list[str]:
    """The command line of a run, after `fit`, as words.

    Args:
        sweep: the sweep.
        parameters: the values of its axes.
        seed: of the run; None if seeds are no axis.
    """
    words = [word for config in sweep.configs for word in ("--config", config)]
    seeds = {} if seed is None else {SEEDS: seed}
    for name, value in {**sweep.options, **parameters, **seeds}.items():
        words += [f"--{name}", _typed(value)]
    return words


def _typed(value: Value | list[Value]) -> str:
    """A value as it is typed on a command line."""
    if isinstance(value, list):
        return f"[{', '.join(map(_typed, value))}]"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return str(value)


def _check_axis(name: str, axis: Range | list[Value], in_grid: bool) -> None:
    if isinstance(axis, list):
        if not axis:
            raise ValueError(f"{name} has no values in the space; give it some, or leave it out")
        if twice := [value for i, value in enumerate(axis) if value in axis[:i]]:
            raise ValueError(f"{name} has {twice[0]} twice in the space")
        return
    if not axis.low < axis.high:
        raise ValueError(f"{name}: low must be below high, not {axis.low} and {axis.high}")
    if axis.log and axis.low <= 0:
        raise ValueError(f"{name}: with log, low must be positive, not {axis.low}")
    if not in_grid and axis.points is not None:
        raise ValueError(f"{name}: points are for sampler grid; leave them out")
    if axis.points is not None and axis.points < 2:
        raise ValueError(f"{name}: points must be at least 2, not {axis.points}")
    if in_grid and axis.points is None and not axis.of_integers:
        raise ValueError(f"{name}: a grid needs to know how many; add points to low and high")

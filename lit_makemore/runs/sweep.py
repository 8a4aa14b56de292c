"""What a sweep is: a configuration, and the options that vary around it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Literal

import numpy as np

Value = bool | int | float | str | None
SEEDS = "seed_everything"
MOST = 100_000  # points of a grid


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
        found = (np.geomspace if self.log else np.linspace)(self.low, self.high, self.points)
        if self.of_integers:
            return list(dict.fromkeys(round(x) for x in found.tolist()))
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

    Raises:
        ValueError: the space makes no sweep; the line says what to do.
    """

    config: str | list[str]
    space: dict[str, Range | list[Value]]
    options: dict[str, Value | list[Value]] = field(default_factory=dict)
    sampler: Literal["grid", "random", "tpe"] = "grid"
    trials: int | None = None
    objective: Literal["val_loss", "val_loss_novel", "train_loss"] = "val_loss"

    def __post_init__(self) -> None:
        for name, axis in self.space.items():
            _check_axis(name, axis, self.sampler == "grid" or name == SEEDS)
        drawn, n = self.sampler != "grid", self.n_trials
        twice = ", ".join(self.space.keys() & self.options.keys())
        strange = [seed for seed in self.seeds or () if type(seed) is not int]
        _refuse(
            (not self.space, "the space is empty; name an option that varies, as model.lr"),
            (strange, f"{SEEDS} in the space takes integers, not {strange}"),
            (twice, f"{twice} is in the space and in the options; leave one out"),
            (self.trials is not None and not drawn, f"a grid has {n} trials; leave out trials"),
            (not drawn and n > MOST, f"the grid has {n:,} points; use sampler random or tpe"),
            (drawn and not self.axes, "seeds alone leave nothing to draw; use sampler grid"),
            (
                drawn and n < 1,
                f"sampler {self.sampler} needs a number of trials, not {self.trials}",
            ),
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

    def arguments(self, parameters: Mapping[str, Value], seed: Value | None) -> list[str]:
        """The command line of a run, after `fit`, as words.

        Args:
            parameters: the values of the axes.
            seed: of the run; None if seeds are no axis.
        """
        words = [word for config in self.configs for word in ("--config", config)]
        seeds = {} if seed is None else {SEEDS: seed}
        for name, value in {**self.options, **parameters, **seeds}.items():
            words += [f"--{name}", value if isinstance(value, str) else json.dumps(value)]
        return words


def points(axis: Range | Sequence[Value]) -> list[Value]:
    """What a grid tries of an axis."""
    return axis.grid() if isinstance(axis, Range) else list(axis)


def _check_axis(name: str, axis: Range | list[Value], in_grid: bool) -> None:
    if isinstance(axis, list):
        twice = ", ".join(str(value) for i, value in enumerate(axis) if value in axis[:i])
        _refuse(
            (not axis, f"{name} has no values in the space; give it some, or leave it out"),
            (twice, f"{name} has {twice} twice in the space"),
        )
        return
    low, high, n = axis.low, axis.high, axis.points
    endless = in_grid and n is None and not axis.of_integers
    _refuse(
        (low >= high, f"{name}: low must be below high, not {low} and {high}"),
        (axis.log and low <= 0, f"{name}: with log, low must be positive, not {low}"),
        (n is not None and not in_grid, f"{name}: points are for sampler grid; leave them out"),
        (n is not None and n < 2, f"{name}: points must be at least 2, not {n}"),
        (endless, f"{name}: a grid needs to know how many; add points to low and high"),
    )


def _refuse(*cases: tuple[object, str]) -> None:
    """Raises a ValueError with the first message whose condition holds."""
    for condition, message in cases:
        if condition:
            raise ValueError(message)

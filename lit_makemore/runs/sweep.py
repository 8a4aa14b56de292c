"""A sweep: options that vary around a configuration, and its trials, which processes share."""

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from math import inf, prod
from pathlib import Path
from statistics import mean
from typing import Any, Literal

import numpy as np
import optuna
from optuna import samplers
from optuna.storages import journal
from optuna.trial import FrozenTrial

from lit_makemore.runs.folder import RunFolder, alone, is_finished
from lit_makemore.runs.tables import typed
from lit_makemore.training.option_conflicts import Row, refuse

Value = bool | int | float | str | None
SEEDS = "seed_everything"
FILE, MOST = "study.journal", 100_000
optuna.logging.set_verbosity(optuna.logging.ERROR)


@dataclass(frozen=True)
class Range:
    """The numbers from low to high; integers if both are. A grid tries points, or every integer."""

    low: int | float
    high: int | float
    log: bool = False
    points: int | None = None

    @property
    def of_integers(self) -> bool:
        return isinstance(self.low, int) and isinstance(self.high, int)


Axis = Range | list[Value]


def points(axis: Axis) -> list[Value]:
    """What a grid tries of an axis, of a range in ascending order."""
    if isinstance(axis, list):
        return axis
    if axis.points is None:
        return list(range(int(axis.low), int(axis.high) + 1))
    found = (np.geomspace if axis.log else np.linspace)(axis.low, axis.high, axis.points)
    if axis.of_integers:
        return list(dict.fromkeys(round(x) for x in found.tolist()))
    return [float(f"{x:.6g}") for x in found]


@dataclass(frozen=True)
class Sweep:
    """A sweep, as its YAML file describes it; docs/sweeps.md explains each key."""

    config: str | list[str]
    space: dict[str, Axis]  # what varies, by the names of the options of fit
    options: dict[str, Value | list[Value]] = field(default_factory=dict)  # of all runs
    sampler: Literal["grid", "random", "tpe"] = "grid"
    trials: int | None = None
    objective: Literal["val_loss", "val_loss_novel", "train_loss"] = "val_loss"

    def __post_init__(self) -> None:
        refuse(self._rows())

    def _rows(self) -> Iterator[Row]:
        drawn, trials = self.sampler != "grid", self.trials
        yield not self.space, "the space is empty; name an option that varies, as model.lr"
        for name, axis in self.space.items():
            yield not axis, f"{name} has no values in the space; give it some, or leave it out"
            yield name in self.options, f"{name} is in the space and in the options; leave one out"
            if isinstance(axis, Range):
                low, high, n, in_grid = axis.low, axis.high, axis.points, not drawn or name == SEEDS
                yield low >= high, f"{name}: low must be below high, not {low} and {high}"
                yield axis.log and low <= 0, f"{name}: with log, low must be positive, not {low}"
                endless = in_grid and n is None and not axis.of_integers
                yield endless, f"{name}: a grid needs to know how many; add points to low and high"
                yield n and not in_grid, f"{name}: points are for sampler grid; leave them out"
                yield n is not None and n < 2, f"{name}: points must be at least 2, not {n}"
        tried = [axis for name, axis in self.space.items() if name == SEEDS or not drawn]
        sizes = (len(x) if isinstance(x, list) else x.points or x.high - x.low + 1 for x in tried)
        many = prod(sizes, start=trials or 1) > MOST
        yield many, f"a sweep has at most {MOST:,} runs; give fewer values, points or trials"
        strange = [seed for seed in self.seeds or () if type(seed) is not int]
        yield strange, f"{SEEDS} in the space takes integers, not {strange}"
        yield trials is not None and not drawn, "a grid knows its trials; leave out trials"
        yield drawn and not self.axes, "seeds alone leave nothing to draw; use sampler grid"
        few = drawn and (trials or 0) < 1
        yield few, f"sampler {self.sampler} needs a number of trials, not {trials}"

    @property
    def axes(self) -> dict[str, Axis]:
        return {name: axis for name, axis in self.space.items() if name != SEEDS}

    @property
    def seeds(self) -> list[Value] | None:
        return points(self.space[SEEDS]) if SEEDS in self.space else None

    @property
    def n_trials(self) -> int:
        return self.trials or prod(len(points(axis)) for axis in self.axes.values())

    def ends(self) -> list[dict[str, Value]]:
        """Parameters that use each value of a list and each end of a range once."""
        by_axis: dict[str, list[Value]] = {
            k: [x.low, x.high] if isinstance(x, Range) else x for k, x in self.axes.items()
        }
        first = {name: values[0] for name, values in by_axis.items()}
        return [first, *({**first, name: x} for name, xs in by_axis.items() for x in xs[1:])]

    def arguments(self, parameters: Mapping[str, Value], seed: Value | None) -> list[str]:
        """The command line of a run, after `fit`, as words; seed None if seeds are no axis."""
        configs = [self.config] if isinstance(self.config, str) else self.config
        words = [word for config in configs for word in ("--config", config)]
        seeds = {} if seed is None else {SEEDS: seed}
        for name, value in {**self.options, **parameters, **seeds}.items():
            words += [f"--{name}", typed(value)]
        return words


class Study:
    """The trials in the folder of a sweep: study.journal, and the run folders 000/, 001/ …

    A trial of Optuna's is a run for each seed. Its value is their mean: infinite if one diverged,
    None before they are finished. A process works on a run while it holds the lock of its folder,
    which a kill frees for others. `base`, the options of all runs, must stay the same.
    """

    def __init__(self, folder: Path, sweep: Sweep, base: dict[str, Any]) -> None:
        self.folder, self.sweep = folder, sweep
        if (folder / "config.yaml").exists():
            raise ValueError(f"{folder} is the folder of a run; choose another --name")
        folder.mkdir(parents=True, exist_ok=True)
        file = str(folder / FILE)
        try:
            backend = journal.JournalFileBackend(file, journal.JournalFileOpenLock(file))
            self._storage = kept = optuna.storages.JournalStorage(backend)
            self._study = optuna.create_study(storage=kept, study_name="sweep", load_if_exists=True)
            before = dict(self._study.user_attrs.get("sweep", {}))
            self.trials()
        except Exception as error:  # Optuna fails in as many ways as files can be broken
            raise ValueError(f"{file} is damaged ({error}); choose another --name") from error
        searched = {"space": asdict(sweep)["space"], "sampler": sweep.sampler}
        ours = json.loads(json.dumps({**base, **searched, "objective": sweep.objective}))
        for name in sorted(before.keys() | ours.keys() if before else ()):
            if before.get(name) != ours.get(name):
                change = f"{name}: {before.get(name)} -> {ours.get(name)}"
                raise ValueError(f"{folder} has another sweep, {change}; choose another --name")
        self._study.set_user_attr("sweep", ours)

    def trials(self) -> list[FrozenTrial]:
        """The trials that were begun."""
        return self._study.get_trials(deepcopy=False)[: self.sweep.n_trials]

    def runs(self, trial: FrozenTrial) -> list[tuple[Path, Value | None]]:
        """The folders of the runs of a trial, which need not be there, each with its seed."""
        path = self.folder / f"{trial.number:03}"
        if self.sweep.seeds is None:
            return [(path, None)]
        return [(path.with_name(f"{path.name}-seed{seed}"), seed) for seed in self.sweep.seeds]

    def take(self) -> tuple[FrozenTrial, Value | None, RunFolder] | None:
        """A run that is to be done: trial, seed, and folder, locked; None if others do the rest."""
        with alone(self.folder):  # so that no other process adds a trial meanwhile
            begun = self.trials()
            for number in range(self.sweep.n_trials):
                trial = self._drawn(number, begun)
                if trial.state.is_finished():
                    continue
                for path, seed in self.runs(trial):
                    path.mkdir(exist_ok=True)
                    folder = RunFolder(self.folder, path.name, path.name, path)
                    with suppress(BlockingIOError):
                        folder.open()
                        if not is_finished(path):
                            return trial, seed, folder
                        folder.close()
                self.settle(trial)  # its last run was finished by a process that was then killed
        return None

    def _drawn(self, number: int, begun: list[FrozenTrial]) -> FrozenTrial:
        """A trial with its parameters. If a kill left some of them, they stay."""
        axes, how = self.sweep.axes, self.sweep.sampler
        old = begun[number] if number < len(begun) else None
        if old and old.params.keys() == axes.keys():
            return old
        grid = {name: points(axis) for name, axis in axes.items()} if how == "grid" else {}
        kinds: Any = {"random": samplers.RandomSampler, "tpe": samplers.TPESampler}
        # two workers must not draw the same
        sampler = kinds[how](seed=number) if how in kinds else samplers.GridSampler(grid)
        study = optuna.load_study(study_name="sweep", storage=self._storage, sampler=sampler)
        trial = optuna.Trial(study, old._trial_id) if old else study.ask()
        for name, axis in {**axes, **grid}.items():
            if isinstance(axis, list):
                trial.suggest_categorical(name, axis)
            elif axis.of_integers:
                trial.suggest_int(name, int(axis.low), int(axis.high), log=axis.log)
            else:
                trial.suggest_float(name, axis.low, axis.high, log=axis.log)
        return self.trials()[number]

    def settle(self, trial: FrozenTrial) -> None:
        """Enters the value of a trial, if all of its runs are finished."""
        paths = [path for path, _ in self.runs(trial)]
        if all(map(is_finished, paths)):
            summaries = [json.loads((path / "summary.json").read_text("utf-8")) for path in paths]
            values = [summary[self.sweep.objective] for summary in summaries]
            self.enter(trial, inf if None in values else mean(values))

    def enter(self, trial: FrozenTrial, value: float) -> None:
        """Enters the value of a trial, unless it has one: infinite if a run diverged."""
        with suppress(optuna.exceptions.UpdateFinishedTrialError):  # by another worker just now
            self._study.tell(trial.number, value, skip_if_finished=True)

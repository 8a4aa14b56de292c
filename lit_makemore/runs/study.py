"""The study of a sweep: its trials, which any number of processes share through a file. By Optuna.

A trial is one or more runs. It has no owner: a process works on a run while it holds the lock of
the run's folder. If a process is killed, the lock is free, and another one takes the run up.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from math import inf
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import BaseSampler, GridSampler, RandomSampler, TPESampler
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from lit_makemore.runs.folder import RunFolder, alone, is_finished, taken
from lit_makemore.runs.sweep import Range, Sweep, Value, points

FILE = "study.journal"
optuna.logging.set_verbosity(optuna.logging.WARNING)


@dataclass(frozen=True)
class Trial:
    """Some parameters, and what they reached.

    Args:
        number: counted from 0.
        parameters: by the names of the options.
        value: the objective, the mean over the seeds; infinite if a run diverged; None while the
            trial is not finished.
    """

    number: int
    parameters: dict[str, Value]
    value: float | None

    def run_name(self, seed: Value | None) -> str:
        """The name of the folder of a run: "007", or "007-seed1" where seeds are an axis."""
        return f"{self.number:03}" + ("" if seed is None else f"-seed{seed}")


class Study:
    """The trials in the folder of a sweep.

        study.journal     the trials, Optuna's
        .lock             held for moments, by who reads or adds to it
        000/, 001/ …      run folders

    Args:
        folder: the folder, which need not be there.
        sweep: what is searched.
        base: the options that all runs have; a study is only continued with the same ones.

    Raises:
        ValueError: the folder has the study of another sweep, or something else.
    """

    def __init__(self, folder: Path, sweep: Sweep, base: dict[str, Any]) -> None:
        self.folder, self.sweep = folder, sweep
        if (folder / "config.yaml").exists():
            raise ValueError(f"{folder} is the folder of a run; choose another --name")
        folder.mkdir(parents=True, exist_ok=True)
        with self._alone():
            try:
                # Our lock is enough. After a kill, Optuna's own would be in the way for 30 seconds.
                no_lock: Any = SimpleNamespace(acquire=lambda: True, release=lambda: None)
                backend = JournalFileBackend(str(folder / FILE), lock_obj=no_lock)
                self._study = optuna.create_study(
                    storage=JournalStorage(backend), study_name="sweep", load_if_exists=True
                )
            except (ValueError, KeyError) as error:
                raise ValueError(
                    f"{folder / FILE} is damaged ({error}); delete {folder}, or choose another "
                    "--name"
                ) from error
            ours = _identity(sweep, base)
            before = self._study.user_attrs.get("sweep")
            if before is None:
                self._study.set_user_attr("sweep", ours)
            elif apart := _apart(before, ours):
                raise ValueError(
                    f"{folder} has the study of another sweep: {'; '.join(apart)}; choose another "
                    "--name"
                )

    def trials(self) -> list[Trial]:
        """All trials, in the order in which they were begun."""
        with self._alone():
            return [
                Trial(one.number, one.params, one.value if one.state.is_finished() else None)
                for one in self._study.get_trials(deepcopy=False)
            ]

    def runs(self, trial: Trial) -> list[tuple[Path, Value | None]]:
        """The folders of the runs of a trial, which need not be there, each with its seed."""
        return [(self.folder / trial.run_name(seed), seed) for seed in self.sweep.seeds or [None]]

    def take(self) -> tuple[Trial, Value | None, RunFolder] | None:
        """A run that is to be done, with its seed and its folder, locked.

        It belongs to a trial that was begun, or to a new one. None if all that is left is being
        done by other processes.
        """
        while True:
            for trial in self.trials():
                if trial.value is not None:
                    continue
                for path, seed in self.runs(trial):
                    if is_finished(path) or not (folder := taken(self.folder, path.name)):
                        continue
                    if is_finished(path):  # by now
                        folder.close()
                        continue
                    return trial, seed, folder
                self.settle(trial)  # its last run was finished by a process that was then killed
            if not self._begin():
                return None

    def _begin(self) -> bool:
        """Adds a trial, unless there are enough. Never two with the same point of a grid."""
        with self._alone():
            before = self._study.get_trials(deepcopy=False)
            if len(before) >= self.sweep.n_trials:
                return False
            # Optuna would add the trial first and its parameters then, one by one. After a kill in
            # between, it would be neither whole nor absent.
            scratch = optuna.create_study(sampler=_sampler(self.sweep, len(before)))
            scratch.add_trials(before)
            scratch.ask({name: _distribution(self.sweep, name) for name in self.sweep.axes})
            self._study.add_trial(scratch.trials[-1])
            return True

    def settle(self, trial: Trial) -> None:
        """Enters the value of a trial, if all of its runs are finished."""
        paths = [path for path, _ in self.runs(trial)]
        if all(map(is_finished, paths)):
            values = [_objective(path, self.sweep.objective) for path in paths]
            self._tell(trial, sum(values) / len(values))

    def diverged(self, trial: Trial) -> None:
        """Enters the worst of all values for a trial."""
        self._tell(trial, inf)

    def _tell(self, trial: Trial, value: float) -> None:
        with self._alone():
            self._study.tell(trial.number, value, skip_if_finished=True)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        with alone(self.folder):
            _mend(self.folder / FILE)
            yield


def _objective(run: Path, key: str) -> float:
    value = json.loads((run / "summary.json").read_text("utf-8"))[key]
    return inf if value is None else float(value)


def _sampler(sweep: Sweep, number: int) -> BaseSampler:
    """The sampler of one trial. Its number is the seed: two workers must not draw the same."""
    if sweep.sampler == "grid":
        return GridSampler({name: points(axis) for name, axis in sweep.axes.items()}, seed=0)
    return RandomSampler(number) if sweep.sampler == "random" else TPESampler(seed=number)


def _distribution(sweep: Sweep, name: str) -> BaseDistribution:
    axis = sweep.axes[name]
    if sweep.sampler == "grid" or not isinstance(axis, Range):
        return CategoricalDistribution(points(axis))
    if axis.of_integers:
        return IntDistribution(int(axis.low), int(axis.high), log=axis.log)
    return FloatDistribution(axis.low, axis.high, log=axis.log)


def _identity(sweep: Sweep, base: dict[str, Any]) -> dict[str, Any]:
    """What makes a study the one of a sweep, as JSON keeps it. More trials may be added to it."""
    described = {**asdict(sweep), **{f"fit: {name}": value for name, value in base.items()}}
    for name in ("config", "options", "trials"):  # the first two are what `base` has
        del described[name]
    kept: dict[str, Any] = json.loads(json.dumps(described))
    return kept


def _apart(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    return [
        f"{name.removeprefix('fit: ')}: {before.get(name)} -> {now.get(name)}"
        for name in sorted(before.keys() | now.keys())
        if before.get(name) != now.get(name)
    ]


def _mend(journal: Path) -> None:
    """Removes the part of a line that a full disk has left at the end; it would spoil the next."""
    if not journal.exists():
        return
    with journal.open("rb+") as file:
        whole = file.read()
        if whole and not whole.endswith(b"\n"):
            file.truncate(whole.rfind(b"\n") + 1)

"""The study of a sweep: its trials, which any number of processes share through a file. By Optuna.

A trial is one or more runs. It has no owner: a process works on a run while it holds the lock of
the run's folder. If a process is killed, the lock is free, and another one takes the run up.
"""

import json
from contextlib import suppress
from dataclasses import asdict
from math import inf
from pathlib import Path
from statistics import mean
from typing import Any

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.samplers import BaseSampler, GridSampler, RandomSampler, TPESampler
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.trial import FrozenTrial

from lit_makemore.runs.folder import RunFolder, is_finished, taken
from lit_makemore.runs.sweep import Range, Sweep, Value, points

FILE = "study.journal"
optuna.logging.set_verbosity(optuna.logging.ERROR)


class Study:
    """The trials in the folder of a sweep: study.journal, and the run folders 000/, 001/ …

    A trial is one of Optuna's. Its value is the objective, the mean over the seeds: infinite if a
    run diverged, None before its runs are finished.

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
        file = str(folder / FILE)
        try:
            self._storage = JournalStorage(JournalFileBackend(file, JournalFileOpenLock(file)))
            self._study = optuna.create_study(
                storage=self._storage, study_name="sweep", load_if_exists=True
            )
        except (ValueError, KeyError) as error:
            raise ValueError(
                f"{file} is damaged ({error}); delete {folder}, or choose another --name"
            ) from error
        ours = {**asdict(sweep), **{f"fit: {name}": value for name, value in base.items()}}
        for name in ("config", "options", "trials"):  # `base` has the first two; trials may grow
            del ours[name]
        ours = json.loads(json.dumps(ours))  # as Optuna keeps it
        before = self._study.user_attrs.get("sweep")
        if before is None:
            self._study.set_user_attr("sweep", ours)
        elif before != ours:
            apart = [
                f"{name.removeprefix('fit: ')}: {before.get(name)} -> {ours.get(name)}"
                for name in sorted(before.keys() | ours.keys())
                if before.get(name) != ours.get(name)
            ]
            raise ValueError(
                f"{folder} has another sweep: {'; '.join(apart)}; choose another --name"
            )

    def trials(self) -> list[FrozenTrial]:
        """The trials that were begun. Two workers may have added one too many, which waits."""
        return self._study.get_trials(deepcopy=False)[: self.sweep.n_trials]

    def runs(self, trial: FrozenTrial) -> list[tuple[Path, Value | None]]:
        """The folders of the runs of a trial, which need not be there, each with its seed."""
        name = f"{trial.number:03}"
        if self.sweep.seeds is None:
            return [(self.folder / name, None)]
        return [(self.folder / f"{name}-seed{seed}", seed) for seed in self.sweep.seeds]

    def take(self) -> tuple[FrozenTrial, Value | None, RunFolder] | None:
        """A run that is to be done: its trial, its seed, and its folder, locked.

        None if all that is left is being done by other processes.
        """
        while True:
            for trial in self.trials():
                if trial.state.is_finished():
                    continue
                runs = self.runs(trial)
                drawn = trial.params.keys() == self.sweep.axes.keys()
                for path, seed in runs if drawn else runs[:1]:  # who has the first one draws
                    if folder := taken(self.folder, path.name):
                        if not is_finished(path):
                            return trial if drawn else self._draw(trial), seed, folder
                        folder.close()
                self.settle(trial)  # its last run was finished by a process that was then killed
            if len(self.trials()) >= self.sweep.n_trials:
                return None
            self._study.ask()

    def _draw(self, trial: FrozenTrial) -> FrozenTrial:
        """The trial with its parameters. Those that it has already stay."""
        sampler = _sampler(self.sweep, trial.number)
        study = optuna.load_study(study_name="sweep", storage=self._storage, sampler=sampler)
        drawing = optuna.Trial(study, trial._trial_id)
        for name, axis in self.sweep.axes.items():
            if self.sweep.sampler == "grid" or not isinstance(axis, Range):
                drawing.suggest_categorical(name, points(axis))
            elif axis.of_integers:
                drawing.suggest_int(name, int(axis.low), int(axis.high), log=axis.log)
            else:
                drawing.suggest_float(name, axis.low, axis.high, log=axis.log)
        return self._study.get_trials(deepcopy=False)[trial.number]

    def settle(self, trial: FrozenTrial) -> None:
        """Enters the value of a trial, if all of its runs are finished."""
        paths = [path for path, _ in self.runs(trial)]
        if all(map(is_finished, paths)):
            summaries = [json.loads((path / "summary.json").read_text("utf-8")) for path in paths]
            values = [summary[self.sweep.objective] for summary in summaries]
            self.enter(trial, inf if None in values else mean(values))

    def enter(self, trial: FrozenTrial, value: float) -> None:
        """Enters the value of a trial, unless it has one: infinite if a run diverged."""
        with suppress(UpdateFinishedTrialError):  # by another worker, in this moment
            self._study.tell(trial.number, value, skip_if_finished=True)


def _sampler(sweep: Sweep, number: int) -> BaseSampler:
    """The sampler of one trial. Its number is the seed: two workers must not draw the same."""
    if sweep.sampler == "grid":
        return GridSampler({name: points(axis) for name, axis in sweep.axes.items()}, seed=0)
    return RandomSampler(number) if sweep.sampler == "random" else TPESampler(seed=number)

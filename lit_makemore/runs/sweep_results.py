"""What a sweep has found: sweep.md, sweep.csv and sweep.png in its folder, and a table to print."""

import csv
from collections.abc import Iterable, Sequence
from io import StringIO
from math import inf, isfinite
from pathlib import Path
from statistics import mean, stdev
from typing import TYPE_CHECKING, Any

from lit_makemore.files import replacing, write_text
from lit_makemore.runs.finished import Finished, losses, mean_and_sd, read
from lit_makemore.runs.folder import is_finished
from lit_makemore.runs.sweep import SEEDS
from lit_makemore.runs.sweep_picture import Point, picture
from lit_makemore.runs.tables import aligned, markdown, short_names, shown

if TYPE_CHECKING:  # Optuna is imported by the command alone
    from lit_makemore.runs.study import Study, Trial

LOSSES = ("val_loss", "test_loss", "val_loss_novel", "test_loss_novel")
PRINTED = 10  # of the best trials


def best_first(trials: Iterable["Trial"]) -> list["Trial"]:
    """The trials by their objective; those that diverged are last."""
    return sorted(trials, key=lambda trial: (_value(trial), trial.number))


def write(study: "Study", trials: list["Trial"], command: str) -> str:
    """Writes the results of a finished study.

    Args:
        study: the study.
        trials: all of its trials, the best one first.
        command: trains the network of the best trial.

    Returns:
        A table of the best trials, and where the rest is.
    """
    runs = {trial.number: _runs_of(study, trial) for trial in trials}
    rows = _table(study, trials, runs)
    found = sum(isfinite(_value(trial)) for trial in trials)
    best = f"The best trial is {trials[0].number:03}. This command trains it by itself:"
    if not found:
        best, command = "Every trial diverged; try lower learning rates.", ""
    with replacing(study.folder / "sweep.png") as file:
        file.write(picture(study.sweep, _points(study, trials, runs)))
    write_text(study.folder / "sweep.csv", _csv(study, trials, runs))
    write_text(study.folder / "sweep.md", _page(study, rows, best, command))
    more = len(rows) - 1 - PRINTED
    parts = [aligned(rows[: PRINTED + 1]) + (f"\n… and {more} more" if more > 0 else "")]
    parts.append(f"{best}\n  {command}" if command else best)
    parts.append(
        f"results: {study.folder} (sweep.md, sweep.csv, sweep.png)\n"
        f"see the runs with: tensorboard --logdir {study.folder}"
    )
    return "\n\n".join(parts)


def _value(trial: "Trial") -> float:
    return inf if trial.value is None else trial.value


def _runs_of(study: "Study", trial: "Trial") -> list[Finished]:
    """The finished runs of a trial; one that diverged may have fewer than seeds."""
    return [read(path) for path, _ in study.runs(trial) if is_finished(path)]


def _table(
    study: "Study", trials: Sequence["Trial"], runs: dict[int, list[Finished]]
) -> list[list[str]]:
    """Cells, the best trial first; losses in nats, mean ± standard deviation over the seeds."""
    names = short_names(list(study.sweep.axes))
    rows = [["trial", *names.values(), "val", "test", "val, novel", "test, novel", "s/run"]]
    for trial in trials:
        cells = [f"{trial.number:03}", *(shown(trial.parameters[name]) for name in names)]
        of_trial = runs[trial.number]
        if isfinite(_value(trial)):
            cells += [mean_and_sd(losses(of_trial, key)) for key in LOSSES]
            cells.append(f"{mean(run.summary['wall_s'] for run in of_trial):.1f}")
        else:
            cells += ["diverged", *[""] * len(LOSSES)]
        rows.append(cells)
    return rows


def _csv(study: "Study", trials: Sequence["Trial"], runs: dict[int, list[Finished]]) -> str:
    """Every trial in the order of its number, unrounded; an empty cell for what there is not."""
    text = StringIO()
    rows = csv.writer(text, lineterminator="\n")
    spread = [column for key in LOSSES for column in (key, f"{key}_sd")]
    rows.writerow(["trial", *study.sweep.axes, "runs", *spread, "wall_s"])
    for trial in sorted(trials, key=lambda one: one.number):
        of_trial = runs[trial.number]
        cells: list[Any] = [trial.number, *map(trial.parameters.get, study.sweep.axes)]
        cells.append(len(of_trial))
        for key in LOSSES:
            found = losses(of_trial, key) if isfinite(_value(trial)) else []
            cells += [mean(found) if found else "", stdev(found) if len(found) > 1 else ""]
        cells.append(round(sum(run.summary["wall_s"] for run in of_trial), 2))
        rows.writerow(cells)
    return text.getvalue()


def _page(study: "Study", rows: list[list[str]], best: str, command: str) -> str:
    sweep = study.sweep
    seeds = f", {len(sweep.seeds)} seeds each" if sweep.seeds else ""
    parts = [
        f"# {study.folder.name}",
        f"{', '.join(sweep.configs)}; sampler {sweep.sampler}, {len(rows) - 1} trials{seeds}. "
        f"Losses are in nats per character. The trials are sorted by {sweep.objective}.",
        best,
    ]
    if command:
        parts.append(f"```\n{command}\n```")
    return "\n\n".join([*parts, "![the losses](sweep.png)", markdown(rows)]) + "\n"


def _points(
    study: "Study", trials: Sequence["Trial"], runs: dict[int, list[Finished]]
) -> list[Point]:
    """What the picture shows: the trials; their runs, where nothing but the seed varies."""
    key = study.sweep.objective
    if not study.sweep.axes:
        every = [run for of_trial in runs.values() for run in of_trial]
        return [Point({SEEDS: run.seed}, loss, []) for run in every for loss in losses([run], key)]
    return [
        Point(trial.parameters, _value(trial), losses(runs[trial.number], key)) for trial in trials
    ]


def reached(run: Path, objective: str) -> str:
    """The objective of one finished run, to be printed."""
    return mean_and_sd(losses([read(run)], objective))

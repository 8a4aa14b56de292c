"""A sweep: what it may be, who gets which run (runs are pretended here), what is shown of it."""

import json
from io import BytesIO
from itertools import product
from math import inf
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from lit_makemore.runs.folder import RunFolder
from lit_makemore.runs.sweep import FILE, Range, Study, Sweep, points
from lit_makemore.runs.sweep_results import Trial, best_first, picture
from lit_makemore.runs.tables import Finished

LR = {"model.lr": [0.1, 0.2]}
GRID = Sweep("a.yaml", {"model.lr": [0.1, 0.2, 0.3], "model.n_layer": [1, 2]})
SEEDS = Sweep("a.yaml", {**LR, "seed_everything": [1, 2, 3]})


def test_the_points_of_a_range_are_even():
    assert points(Range(0.5, 2.5, points=5)) == list(np.linspace(0.5, 2.5, 5))
    logarithmic = points(Range(1e-3, 1, log=True, points=20))
    assert logarithmic == pytest.approx(np.geomspace(1e-3, 1, 20), rel=1e-5)
    assert points(Range(3, 6)) == [3, 4, 5, 6]
    assert points(Range(1, 100, log=True, points=3)) == [1, 10, 100]
    assert all(type(x) is int for x in points(Range(1, 9, points=4)))


def test_a_grid_knows_its_trials_and_seeds_are_no_trials():
    sweep = Sweep("a.yaml", {**LR, "model.n_layer": Range(1, 3), "seed_everything": [7, 8]})
    assert (sweep.n_trials, sweep.seeds) == (6, [7, 8])
    assert Sweep("a.yaml", {"seed_everything": Range(1, 5)}).seeds == [1, 2, 3, 4, 5]


def test_a_run_is_the_command_line_of_fit():
    options = {"trainer.callbacks": None, "model.lr_milestones": [1, 2], "data.strip": True}
    sweep = Sweep(["a.yaml", "b.yaml"], LR, options)
    assert sweep.arguments({"model.lr": 1e-05}, 3) == [
        "--config", "a.yaml", "--config", "b.yaml", "--trainer.callbacks", "null",
        "--model.lr_milestones", "[1, 2]", "--data.strip", "true",
        "--model.lr", "1e-05", "--seed_everything", "3",
    ]  # fmt: skip


def test_each_value_and_each_end_is_tried_before_the_first_trial():
    sweep = Sweep("a", {"x": [1, 2, 3], "y": Range(0.5, 1.0, points=9), "seed_everything": [1]})
    assert sweep.ends() == [{"x": 1, "y": 0.5}, {"x": 2, "y": 0.5}, {"x": 3, "y": 0.5},
                            {"x": 1, "y": 1.0}]  # fmt: skip


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"space": {}}, "the space is empty"),
        ({"space": {"model.lr": []}}, "model.lr has no values"),
        ({"space": {"model.lr": Range(1, 1)}}, "low must be below high"),
        ({"space": {"model.lr": Range(0.0, 1, log=True, points=3)}}, "low must be positive"),
        ({"space": {"model.lr": Range(0.1, 1.0)}}, "add points"),
        ({"space": {"model.lr": Range(0.1, 1.0, points=1)}}, "at least 2"),
        ({"space": {"seed_everything": ["x"]}}, "takes integers"),
        ({"space": {"seed_everything": Range(0.5, 2, points=2)}}, "takes integers"),
        ({"space": {"model.lr": Range(0.1, 1, points=10**12)}}, "at most 100,000 runs"),
        ({"space": {"a": Range(1, 999), "b": Range(1, 999)}}, "at most 100,000 runs"),
        ({"space": LR, "sampler": "random", "trials": 10**12}, "at most 100,000 runs"),
        ({"space": LR, "trials": 3}, "a grid knows its trials"),
        ({"space": LR, "sampler": "random"}, "needs a number of trials"),
        ({"space": LR, "sampler": "tpe", "trials": 0}, "a number of trials, not 0"),
        ({"space": {"seed_everything": [1]}, "sampler": "tpe", "trials": 2}, "seeds alone"),
        ({"space": LR, "options": {"model.lr": 0.3}}, "model.lr is in the space and in the"),
        (
            {"space": {"a": Range(0.1, 1, points=3)}, "sampler": "random", "trials": 2},
            "points are for sampler grid",
        ),
    ],
)
def test_what_makes_no_sweep_is_refused(settings, said):
    with pytest.raises(ValueError, match=said):
        Sweep("a.yaml", **settings)


@pytest.fixture(autouse=True)
def _locks_end_with_the_test(monkeypatch):
    folders, opening = [], RunFolder.open
    monkeypatch.setattr(RunFolder, "open", lambda self: folders.append(self) or opening(self))
    yield
    for folder in folders:
        folder.close()


def finish(folder, val: float) -> None:
    """Leaves a run as `fit` does at its end."""
    (folder.path / "summary.json").write_text(json.dumps({"val_loss": val}))
    folder.close()


def work(study: Study) -> list:
    """All runs that a worker gets, each done at once; their losses are their learning rates."""
    done = []
    while found := study.take():
        trial, seed, folder = found
        finish(folder, trial.params.get("model.lr", 0.0) + (seed or 0))
        study.settle(trial)
        done.append((trial, seed))
    return done


def test_workers_do_every_point_of_a_grid_once(tmp_path):
    studies = [Study(tmp_path, GRID, {}) for _ in range(3)]
    done = []
    held = [study.take() for study in studies]  # all at the same time
    while any(held):
        for i, (study, found) in enumerate(zip(studies, held, strict=True)):
            if found:
                trial, _, folder = found
                finish(folder, 1.0)
                study.settle(trial)
                done.append(tuple(trial.params.values()))
                held[i] = study.take()
    assert sorted(done) == sorted(product([0.1, 0.2, 0.3], [1, 2]))
    assert [trial.value for trial in studies[0].trials()] == [1.0] * 6


def test_a_trial_of_seeds_is_several_runs_and_their_mean(tmp_path):
    study = Study(tmp_path, SEEDS, {})
    found = sorted((trial.params["model.lr"], seed) for trial, seed in work(study))
    assert found == sorted(product([0.1, 0.2], [1, 2, 3]))
    for trial in study.trials():
        assert trial.value == pytest.approx(trial.params["model.lr"] + 2)
    assert (tmp_path / "000-seed1" / "summary.json").exists()


def test_workers_share_the_seeds_of_one_trial(tmp_path):
    alone = Sweep("a.yaml", {"seed_everything": [1, 2, 3]})
    studies = [Study(tmp_path, alone, {}) for _ in range(4)]
    held = [study.take() for study in studies]
    assert [found and found[1] for found in held] == [1, 2, 3, None]
    for found in held[:3]:
        finish(found[2], 1.0)
    studies[3].settle(held[0][0])
    assert [trial.value for trial in studies[0].trials()] == [1.0]


def test_a_run_whose_lock_is_free_is_taken_up(tmp_path):
    first, second = Study(tmp_path, GRID, {}), Study(tmp_path, GRID, {})
    trial, _, folder = first.take()
    other, _, _ = second.take()
    assert (trial.number, other.number) == (0, 1)
    folder.close()  # as if the first worker had been killed
    again, _, _ = Study(tmp_path, GRID, {}).take()
    assert again.number == trial.number
    assert len(first.trials()) == 2


def test_a_finished_run_is_not_repeated_if_its_worker_was_killed_before_it_told(tmp_path):
    finish(Study(tmp_path, GRID, {}).take()[2], 1.5)
    after, _, _ = Study(tmp_path, GRID, {}).take()
    assert after.number == 1
    assert Study(tmp_path, GRID, {}).trials()[0].value == 1.5


@pytest.mark.parametrize("sampler", ["grid", "random", "tpe"])
def test_a_trial_whose_worker_was_killed_while_it_drew_is_drawn_to_the_end(tmp_path, sampler):
    drawn = {"model.lr": Range(0.1, 1.0), "seed_everything": [1, 2]}
    sweep = GRID if sampler == "grid" else Sweep("a.yaml", drawn, sampler=sampler, trials=2)
    killed = Study(tmp_path, sweep, {})
    killed._study.ask()  # no parameter yet
    found = {tuple(trial.params.values()) for trial, _ in work(Study(tmp_path, sweep, {}))}
    assert len(found) == sweep.n_trials
    whole = work(Study(tmp_path / "whole", sweep, {}))  # as if nobody had been killed
    assert {tuple(trial.params.values()) for trial, _ in whole} == found


def test_a_study_grows_with_the_number_of_its_trials(tmp_path):
    space = {"model.lr": Range(0.1, 1.0)}
    for trials, new in ((2, [0, 1]), (4, [2, 3]), (3, [])):
        study = Study(tmp_path, Sweep("a.yaml", space, sampler="random", trials=trials), {})
        assert [trial.number for trial, _ in work(study)] == new
        assert len(study.trials()) == trials


def test_a_diverged_run_is_the_worst_value_and_ends_its_trial(tmp_path):
    study = Study(tmp_path, SEEDS, {})
    trial, _, folder = study.take()
    study.enter(trial, inf)
    folder.close()
    assert [t.number for t, _ in work(study)] == [1, 1, 1]
    assert study.trials()[0].value == inf


@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_drawn_trials_are_counted_by_the_study_and_never_alike(tmp_path, sampler):
    space = {"model.lr": Range(1e-3, 1.0, log=True), "model.n_hidden": Range(10, 99)}
    sweep = Sweep("a.yaml", space, sampler=sampler, trials=12)
    for _ in range(3):  # a worker that is killed after each of some trials
        finish(Study(tmp_path, sweep, {}).take()[2], 1.0)
    studies = [Study(tmp_path, sweep, {}) for _ in range(2)]
    assert [len(work(study)) for study in studies] == [9, 0]
    trials = studies[0].trials()
    assert len({trial.params["model.lr"] for trial in trials}) == len(trials) == 12
    for trial in trials:
        assert 1e-3 <= trial.params["model.lr"] <= 1.0
        assert isinstance(trial.params["model.n_hidden"], int)


def test_the_study_of_another_sweep_is_refused(tmp_path):
    facts = {"model.n_hidden": 100}
    for _ in range(2):
        Study(tmp_path, GRID, facts)
    with pytest.raises(ValueError, match=r"n_hidden: 100 -> 50; choose another --name"):
        Study(tmp_path, GRID, {"model.n_hidden": 50})
    with pytest.raises(ValueError, match=r"objective: val_loss -> train_loss"):
        Study(tmp_path, Sweep("a.yaml", GRID.space, objective="train_loss"), facts)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.yaml").touch()
    with pytest.raises(ValueError, match="is the folder of a run"):
        Study(tmp_path / "run", GRID, {})


@pytest.mark.parametrize(
    "journal",
    [
        "1\n[]\n{}\n",
        '{"op_code": 99, "worker_id": "x"}\n',
        100_000 * "[" + "\n",
        '{"op_code": 0, "worker_id": "x", "study_name": "sweep", "directions": [1]}\n'
        '{"op_code": 2, "worker_id": "x", "study_id": 0, "user_attr": {"sweep": "x"}}\n',
    ],
    ids=["numbers", "operation", "deep", "no mapping"],
)
def test_a_journal_of_a_stranger_is_damaged(tmp_path, journal):
    (tmp_path / FILE).write_text(journal)
    with pytest.raises(ValueError, match="is damaged .*choose another --name"):
        Study(tmp_path, GRID, {})


def test_the_lowest_loss_is_the_best_and_a_diverged_trial_the_last():
    trials = [
        SimpleNamespace(number=i, params={}, value=value)
        for i, value in enumerate((2.5, inf, None, 2.25, 3.0))
    ]
    study = SimpleNamespace(trials=lambda: trials, runs=lambda trial: [])
    assert [trial.number for trial in best_first(study)] == [3, 0, 4, 1]


@pytest.mark.parametrize("names", ["a", "abcd", ["seed_everything"]], ids=len)
@pytest.mark.parametrize("values", [(2.5, 2.4, 2.0, 30.0, inf), (inf, inf, inf)], ids=str)
def test_there_is_a_picture_of_any_sweep(names, values):
    axes = {"a": Range(0.1, 1.0, log=True, points=3), "b": ["tanh", None, True], "c": [1, 2]}
    axes |= {"d": [8, 512], "seed_everything": [1, 2]}
    sweep = Sweep("x", {name: axes[name] for name in names})
    every = {"a": 0.5, "b": None, "c": 1, "d": 8}
    trials = [
        Trial(i, every, value, [Finished(Path(), {}, seed, {"val_loss": value}) for seed in (1, 2)])
        for i, value in enumerate(values)
    ]
    figure = picture(sweep, trials)
    figure.savefig(file := BytesIO(), format="png")
    assert Image.open(file).width > 400
    assert figure.axes[0].get_ylim()[1] < 3  # 30 is far worse than most

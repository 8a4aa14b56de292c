"""The study of a sweep, with runs that are only pretended: who gets which run, what counts."""

import json
from itertools import product
from math import inf

import pytest

from lit_makemore.runs.sweep import FILE, Range, Study, Sweep

GRID = Sweep(config="a.yaml", space={"model.lr": [0.1, 0.2, 0.3], "model.n_layer": [1, 2]})
SEEDS = Sweep(config="a.yaml", space={"model.lr": [0.1, 0.2], "seed_everything": [1, 2, 3]})


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
    alone = Sweep(config="a.yaml", space={"seed_everything": [1, 2, 3]})
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
    trial, _, folder = Study(tmp_path, GRID, {}).take()
    finish(folder, 1.5)
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
    sweep = Sweep(config="a.yaml", space=space, sampler=sampler, trials=12)
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


def test_a_damaged_study_is_one_line(tmp_path):
    Study(tmp_path, GRID, {})
    journal = tmp_path / FILE
    journal.write_bytes(b"rubbish\n" + journal.read_bytes())
    with pytest.raises(ValueError, match="is damaged"):
        Study(tmp_path, GRID, {})


BEGUN = '{"op_code": 0, "worker_id": "x", "study_name": "sweep", "directions": [1]}\n'
OF_STUDY = '{"op_code": %s, "worker_id": "x", "study_id": 0, %s}\n'
TRIAL = OF_STUDY % (4, '"datetime_start": "2024-01-01T00:00:00"')
CHOICE = r'"{\"name\": \"CategoricalDistribution\", \"attributes\": {\"choices\": [1]}}"'
PARAMETER = '{"op_code": 5, "worker_id": "x", "trial_id": 0, "param_name": "a", %s}\n'
JOURNALS = {
    "numbers": "1\n[]\n{}\n",
    "an unknown operation": '{"op_code": 99, "worker_id": "x"}\n',
    "deep": 100_000 * "[" + "\n",
    "an option that is no mapping": BEGUN + OF_STUDY % (2, '"user_attr": {"sweep": "x"}'),
    "a choice that there is not": BEGUN
    + TRIAL
    + PARAMETER % f'"param_value_internal": 7, "distribution": {CHOICE}',
}


@pytest.mark.parametrize("name", JOURNALS)
def test_a_journal_of_a_stranger_is_damaged(tmp_path, name):
    (tmp_path / FILE).write_text(JOURNALS[name])
    with pytest.raises(ValueError, match="is damaged .*choose another --name"):
        Study(tmp_path, GRID, {})

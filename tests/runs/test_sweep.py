"""What a sweep may be, and what it means."""

import numpy as np
import pytest

from lit_makemore.runs.sweep import Range, Sweep, points

LR = {"model.lr": [0.1, 0.2]}


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
        ({"space": {"model.n_hidden": Range(1, 10**12)}}, "at most 100,000 runs"),
        ({"space": {"model.lr": Range(0.1, 1, points=10**12)}}, "at most 100,000 runs"),
        ({"space": {"seed_everything": Range(1, 10**12)}}, "at most 100,000 runs"),
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

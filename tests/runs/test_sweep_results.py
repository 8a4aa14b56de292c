"""The results of a sweep: which trial is the best, and what the picture shows."""

from io import BytesIO
from math import inf

import pytest
from PIL import Image

from lit_makemore.runs.study import Trial
from lit_makemore.runs.sweep import Range, Sweep
from lit_makemore.runs.sweep_picture import Point, limits, picture
from lit_makemore.runs.sweep_results import best_first


def test_the_lowest_loss_is_the_best_and_a_diverged_trial_the_last():
    trials = [Trial(i, {}, value) for i, value in enumerate((2.5, inf, 2.25, 3.0))]
    assert [trial.number for trial in best_first(trials)] == [2, 0, 3, 1]


def test_the_y_axis_ends_below_what_is_far_worse_than_most():
    low, high = limits([2.0, 2.1, 2.2, 2.3, 30.0, inf])
    assert 1.9 < low < 2.0
    assert 2.3 < high < 3.0
    assert limits([inf]) == (0.0, 1.0)


@pytest.mark.parametrize(
    "space",
    [
        {"a": Range(0.1, 1.0, log=True)},
        {"a": Range(0.1, 1.0, log=True), "b": ["tanh", None, True], "c": [1, 2], "d": [8, 512]},
        {"seed_everything": [1, 2]},
    ],
    ids=len,
)
@pytest.mark.parametrize("values", [(2.5, 2.0, inf), (inf, inf, inf), (2.0,)], ids=str)
def test_there_is_a_picture_of_any_sweep(space, values):
    sweep = Sweep("x", space, sampler="random" if "a" in space else "grid",
                  trials=3 if "a" in space else None)  # fmt: skip
    every = {"a": 0.5, "b": None, "c": 1, "d": 8, "seed_everything": 2}
    points = [Point(every, value, [value, value + 0.1]) for value in values]
    picture_ = Image.open(BytesIO(picture(sweep, points)))
    assert picture_.width > 400

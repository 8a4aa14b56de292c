"""The results of a sweep: which trial is the best, and what the picture shows."""

from io import BytesIO
from math import inf
from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image

from lit_makemore.runs.sweep import Range, Sweep
from lit_makemore.runs.sweep_results import Trial, best_first, highest, picture
from lit_makemore.runs.tables import Finished

SEEDS = Sweep("x", {"seed_everything": [1, 2]})
ONE = Sweep("x", {"a": Range(0.1, 1.0, log=True)}, sampler="random", trials=3)
FOUR = Sweep("x", {**ONE.space, "b": ["tanh", None, True], "c": [1, 2], "d": [8, 512]},
             sampler="random", trials=3)  # fmt: skip


def test_the_lowest_loss_is_the_best_and_a_diverged_trial_the_last():
    trials = [
        SimpleNamespace(number=i, params={}, value=value)
        for i, value in enumerate((2.5, inf, None, 2.25, 3.0))
    ]
    study = SimpleNamespace(trials=lambda: trials, runs=lambda trial: [])
    assert [trial.number for trial in best_first(study)] == [3, 0, 4, 1]


def test_the_y_axis_ends_below_what_is_far_worse_than_most():
    assert highest([2.0, 2.1, 2.2, 2.3, 30.0, inf]) == 2.3
    assert highest([inf]) < inf


@pytest.mark.parametrize("sweep", [ONE, FOUR, SEEDS], ids=lambda sweep: len(sweep.space))
@pytest.mark.parametrize("values", [(2.5, 2.0, inf), (inf, inf, inf), (2.0,)], ids=str)
def test_there_is_a_picture_of_any_sweep(sweep, values):
    every = {"a": 0.5, "b": None, "c": 1, "d": 8}
    trials = [
        Trial(i, every, value, [Finished(Path(), {}, seed, {"val_loss": 2.0}) for seed in (1, 2)])
        for i, value in enumerate(values)
    ]
    picture(sweep, trials).savefig(file := BytesIO(), format="png")
    assert Image.open(file).width > 400

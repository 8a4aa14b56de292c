from pathlib import Path

import pytest

from lit_makemore.training.datamodule import NamesDataModule
from lit_makemore.training.recipe import LONG, examples_of, options_for


@pytest.mark.parametrize(
    ("examples", "updates"),
    [(100, 100), (2560, 300), (2**20, 3000)],  # 30 passes of 256 examples, within bounds
)
def test_a_teacher_sees_the_list_thirty_times_within_bounds(examples, updates):
    found = options_for("teacher", examples)
    assert found["trainer.max_steps"] == found["trainer.val_check_interval"] == updates


@pytest.mark.parametrize("examples", [1, 1000, 2861, 7777, LONG])
def test_the_network_is_trained_twice_as_long_and_learns_from_teachers(examples):
    teacher = options_for("teacher", examples)["trainer.max_steps"]
    found = options_for("network", examples)
    assert 0 <= 2 * teacher - found["trainer.max_steps"] < 10
    assert (found["data.targets"], found["model.n_hidden"]) == ("teacher", 200)
    assert [Path(teacher).is_file() for teacher in found["data.teachers"]] == [True] * 4


def test_of_a_long_list_one_network_grows_and_takes_the_same_time_for_an_example():
    lists = [LONG + 1, 375_000, 788_000, 10**6, 2_841_913, 10**7]
    found = [options_for("network", n) for n in lists]
    assert {row["data.targets"] for row in found} == {"expected"}
    assert {row["data.teachers"] for row in found} == {()}
    for name in ("model.n_hidden", "trainer.max_steps"):
        values = [row[name] for row in found]
        assert values == sorted({*values}), name
    cost = [
        row["trainer.max_steps"] * row["data.batch_size"] * row["model.n_hidden"] ** 2 / n
        for n, row in zip(lists, found, strict=True)
    ]
    assert max(cost) < 1.1 * min(cost)


@pytest.mark.parametrize("examples", [1, 1000, 2861, LONG, LONG + 1, 10**9])
def test_the_network_is_validated_ten_times(examples):
    found = options_for("network", examples)
    assert found["trainer.max_steps"] == 10 * found["trainer.val_check_interval"]


@pytest.mark.parametrize(
    ("examples", "dropout"), [(1, 0.65), (3000, 0.65), (30_000, 0.35), (300_000, 0.1), (10**9, 0.1)]
)
def test_a_longer_list_needs_less_dropout(examples, dropout):
    assert options_for("teacher", examples)["model.dropout"] == pytest.approx(dropout)


def test_the_examples_of_a_list_are_known_before_its_windows_are_built(word_list):
    data = NamesDataModule(str(word_list))
    found = examples_of(data)
    data.setup()
    assert found == pytest.approx(len(data.splits["train"].windows), rel=0.05)

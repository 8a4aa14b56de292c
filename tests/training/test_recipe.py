import pytest

from lit_makemore.training.datamodule import NamesDataModule
from lit_makemore.training.recipe import examples_of, options_for


@pytest.mark.parametrize(
    ("examples", "updates"),
    [(100, 100), (2560, 300), (2**20, 3000)],  # 30 passes of 256 examples, within bounds
)
def test_a_teacher_sees_the_list_thirty_times_within_bounds(examples, updates):
    found = options_for("teacher", examples)
    assert found["trainer.max_steps"] == found["trainer.val_check_interval"] == updates


@pytest.mark.parametrize("examples", [1, 1000, 2861, 7777, 10**6, 10**9])
def test_the_network_is_trained_twice_as_long_and_validated_ten_times(examples):
    teacher = options_for("teacher", examples)["trainer.max_steps"]
    found = options_for("network", examples)
    assert found["trainer.max_steps"] == 10 * found["trainer.val_check_interval"]
    assert 0 <= 2 * teacher - found["trainer.max_steps"] < 10


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

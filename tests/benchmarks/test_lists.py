"""The claim of configs/words.yaml, on lists that did not choose it."""

import pytest

from tests.benchmarks.lists import NAMES, SEEDS, measure


@pytest.mark.long
@pytest.mark.parametrize("name", NAMES)
def test_a_list_is_predicted_better_than_by_the_best_counting(name, tmp_path):
    pytest.importorskip("faker")
    pytest.importorskip("pycountry")
    row = measure(name, [*SEEDS], tmp_path)
    assert row["words"] >= 200
    assert row["val"]["worst"] < 0
    assert row["test"]["percent"] < 0

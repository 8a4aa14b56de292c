"""Two kills and a full disk; `python -m tests.benchmarks.reliability` makes it fifty."""

import shutil

import pytest

from tests.benchmarks.reliability import measure


@pytest.mark.slow(minutes=1)
@pytest.mark.skipif(shutil.which("mount") is None, reason="no mount here")
def test_killed_runs_end_as_runs_that_were_not():
    rows, disk = measure(kills=2, seed=7, steps=3000)
    assert [row["kills"] for row in rows] == [1, 1]
    assert [row["apart"] for row in rows] == [[], []]
    if isinstance(disk, str):
        pytest.skip(f"no small disk: {disk}")
    assert disk["status"] == 1
    assert "No space left" in disk["error"]
    assert disk["apart"] == []

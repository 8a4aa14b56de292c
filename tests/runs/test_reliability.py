"""Four kills and a full disk; `python -m tests.benchmarks.reliability` makes it fifty."""

import shutil

import pytest

from tests.benchmarks.reliability import measure


@pytest.mark.slow(minutes=2)
@pytest.mark.skipif(shutil.which("mount") is None, reason="no mount here")
def test_killed_runs_end_as_runs_that_were_not():
    rows, disk = measure(kills=4, seed=7)
    assert [row["kills"] for row in rows] == [2, 2]
    assert [row["apart"] for row in rows] == [[], []]
    if isinstance(disk, str):
        pytest.skip(f"no small disk: {disk}")
    assert disk["status"] == 1
    assert "No space left" in disk["error"]
    assert disk["apart"] == []

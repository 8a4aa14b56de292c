"""What pyproject.toml promises is what tests/benchmarks/versions.py tries."""

import re

import pytest
from packaging.specifiers import SpecifierSet

from tests.benchmarks import versions
from tests.conftest import ROOT

PYPROJECT = (ROOT / "pyproject.toml").read_text()


@pytest.mark.parametrize(
    ("pattern", "tried"),
    [(r'requires-python = "(.+?)"', versions.PYTHONS), (r'"torch(.+?)"', versions.TORCHES)],
    ids=["python", "torch"],
)
def test_every_minor_version_is_tried_from_the_oldest_on(pattern, tried):
    allowed = SpecifierSet(re.search(pattern, PYPROJECT)[1])
    minors = [tuple(map(int, version.split(".")[:2])) for version in tried]
    (major,) = {major for major, _ in minors}
    newest = minors[-1][1]
    expected = [minor for minor in range(newest + 1) if f"{major}.{minor}.0" in allowed]
    assert [minor for _, minor in minors] == expected
    future = f"{major}.{newest + 1}.0"  # of Python nobody is refused before it is known to fail
    assert (future in allowed) == (tried is versions.PYTHONS)


def test_each_python_and_each_torch_is_tried_once_with_the_usual_other():
    pairs = versions.pairs()
    assert len(set(pairs)) == len(pairs)
    usual = {python for python, torch in pairs if torch == versions.USUAL[1]}
    assert usual | {*versions.FIRST_TORCH} == {*versions.PYTHONS}
    assert {*versions.FIRST_TORCH.items()} <= {*pairs}
    assert {torch for python, torch in pairs if python == versions.USUAL[0]} == {*versions.TORCHES}
    assert {*versions.CORNERS} <= {*pairs}


def test_a_row_counts_what_pytest_counted():
    output = "...\n=== 1 failed, 654 passed, 2 skipped, 77 deselected in 871.51s (0:14:31) ===\n"
    assert versions.count(output, ("passed", "failed", "skipped")) == ["654", "1", "2"]
    output = "700 passed, 77 deselected in 60.00s (0:01:00)\n"
    assert versions.count(output, ("passed", "failed", "skipped")) == ["700", "0", "0"]


def test_an_interpreter_that_is_not_there_is_a_row_of_the_table():
    row = versions.row("3.99", "2.13.0")
    assert row[:3] == ("3.99", "2.13.0", "no such interpreter")
    assert "| 3.99 | 2.13.0 | no such interpreter |" in versions.table([row])


def test_the_newest_release_that_pyenv_has_is_taken(monkeypatch, tmp_path):
    for release in ("3.12.9", "3.12.10", "3.13.0"):
        path = tmp_path / "versions" / release / "bin" / "python"
        path.parent.mkdir(parents=True)
        path.touch()
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path))
    assert versions.interpreter_of("3.12") == str(tmp_path / "versions/3.12.10/bin/python")

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

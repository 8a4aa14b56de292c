"""`python -m tests.reports`: its names are those of tests, and a failure is told."""

import re
from types import SimpleNamespace

import pytest

from tests.conftest import ROOT
from tests.reports import FILES, REPORTS, Collected, line, nodes_of

NAMES = sorted({name for names in REPORTS.values() for name in names.split()})


@pytest.mark.parametrize("name", NAMES)
def test_every_name_is_that_of_a_test(name):
    file, _, part = name.partition("::")
    part, _, case = part.partition("[")
    text = (ROOT / "tests" / f"{FILES[file]}.py").read_text("utf-8")
    assert re.search(rf"^def test_\w*{part}", text, flags=re.M)
    assert case in text


def test_a_name_without_a_test_is_an_error():
    tests = ["tests/test_streams.py::test_one[a]", "tests/test_streams.py::test_two"]
    assert nodes_of("streams::", tests) == tests
    assert nodes_of("streams::one[a", tests) == tests[:1]
    with pytest.raises(ValueError, match="no test is named streams::three"):
        nodes_of("streams::one streams::three", tests)


@pytest.mark.parametrize(
    ("failed", "told"), [(False, "right  1 of 1"), (True, "WRONG  0 of 1"), (None, "WRONG  0 of 1")]
)
def test_a_line_tells_how_its_tests_ended(failed, told):
    seen = Collected()
    if failed is not None:  # None: it was not run
        report = SimpleNamespace(nodeid="a@group", when="call", duration=1.0, skipped=False)
        report.failed, report.passed = failed, not failed
        seen.pytest_runtest_logreport(report)
    right, said = line("kind", ["a"], seen)
    assert right == (failed is False)
    assert said.startswith(told)
    assert ("\n       a" in said) == (failed is True)

"""The referee of the verdicts: sick networks are told from healthy ones (docs/verdicts.md)."""

import re
import subprocess
import sys

import pytest

from tests.conftest import ROOT, needs_names

PAGE = ROOT / "docs" / "verdicts.md"


@pytest.mark.slow(minutes=3)
@needs_names
def test_sick_networks_are_told_from_healthy_ones():
    done = subprocess.run(
        [sys.executable, "docs/verdicts.py", "check"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]


def test_the_page_shows_twenty_networks_half_of_them_sick_and_no_false_alarm():
    sick, healthy = re.findall(
        r"^\| (?:sick|healthy) .*\n\|---.*\n((?:\|.*\n)+)", PAGE.read_text(), re.M
    )
    assert min(len(sick.splitlines()), len(healthy.splitlines())) >= 10
    assert all("**" in line for line in sick.splitlines())
    assert all(line.endswith("| healthy |") for line in healthy.splitlines())

"""docs/your_words.md: every command of the page runs, one after the other, on a short list."""

import re
import subprocess
import sys

import pytest

from tests.conftest import ROOT

PAGE = (ROOT / "docs" / "your_words.md").read_text()


@pytest.mark.slow
def test_every_command_runs(tmp_path):
    names = (ROOT / "data" / "names_small.txt").read_text().split()
    (tmp_path / "words.txt").write_text("\n".join(names[:200]) + "\n")
    (tmp_path / "other.txt").write_text("emma\nzoë\n")
    (tmp_path / "unwanted.txt").write_text("zz\n")
    commands = re.findall(r"^python train\.py (.*)$", PAGE, flags=re.M)
    assert len(commands) == 7
    for command in commands:
        line = f"{sys.executable} {ROOT / 'train.py'} {command}"
        done = subprocess.run(line, shell=True, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, (command, done.stderr)
        assert done.stdout
    assert "<title>New words" in (tmp_path / "words.html").read_text()

"""A fit where the operating system lacks what Linux has, as macOS does."""

import os
import subprocess
import sys

import pytest

from lit_makemore import model as checkpoint
from tests.conftest import ROOT

# Other people's packages are imported first: here they are those for Linux.
LACKING = """
import os, runpy, sys
import lightning.pytorch, tensorboard, torch
del os.sched_getaffinity
os.environ["PATH"] = ""
sys.argv = ["train.py", *sys.argv[1:]]
runpy.run_path("train.py", run_name="__main__")
"""


@pytest.mark.slow
def test_a_fit_needs_nothing_that_only_linux_has(tmp_path, word_list):
    arguments = ["fit", "--data.path", str(word_list), "--data.batch_size", "16"]
    arguments += ["--model.n_hidden", "10", "--runs_dir", str(tmp_path), "--name", "run"]
    arguments += ["--trainer.max_steps", "50", "--trainer.max_time", "00:01:00:00"]
    environment = {name: value for name, value in os.environ.items() if name != "CXX"}
    done = subprocess.run(
        [sys.executable, "-c", LACKING, *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "there is no C++ compiler; install g++" in done.stderr
    assert checkpoint.read(tmp_path / "run" / "checkpoints" / "last.ckpt")["global_step"] == 50
    assert (tmp_path / "run" / "summary.json").exists()

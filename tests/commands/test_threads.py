"""How many threads: as many as the user says, else by the network and this process's cores."""

import json
import os
import subprocess
import sys

import pytest
import torch

from lit_makemore.commands import threads
from tests.conftest import ROOT


@pytest.mark.parametrize(
    ("quota", "cores"),
    [(None, 8), ("max 100000", 8), ("350000 100000", 3), ("50000 100000", 1), ("damaged", 8)],
)
def test_the_allowed_cores_and_the_quota_of_a_container_count(tmp_path, monkeypatch, quota, cores):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)
    monkeypatch.setattr(threads, "QUOTA", tmp_path / "cpu.max")
    if quota:
        (tmp_path / "cpu.max").write_text(f"{quota}\n")
    assert threads.cores() == cores


def test_a_small_network_trains_on_one_thread_and_processes_share_the_cores(monkeypatch):
    monkeypatch.setattr(threads, "cores", lambda: 8)
    assert threads.for_training(47_000, 1024) == 1
    assert threads.for_training(47_000, 2**15) == 8
    assert threads.for_training(47_000, 2**15, processes=4) == 2
    assert threads.for_training(47_000, 2**15, processes=16) == 1


@pytest.mark.parametrize(
    ("variable", "option", "expected"),
    [("", None, None), ("0", None, None), ("x", None, None), ("3", None, 3), ("400000", 2, 2)],
)
def test_the_option_comes_before_the_variable(monkeypatch, variable, option, expected):
    monkeypatch.setattr(threads, "ASKED", variable)
    assert threads.asked(option) == expected


def test_too_many_are_refused_by_the_name_that_asked(monkeypatch):
    monkeypatch.setattr(threads, "ASKED", "400000")
    with pytest.raises(ValueError, match="^OMP_NUM_THREADS must be 1 to 1024, not 400000$"):
        threads.asked(None)
    with pytest.raises(ValueError, match="^--threads must be 1 to 1024, not 5000000000$"):
        threads.asked(5_000_000_000)


TWO = {"OMP_NUM_THREADS": "2"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("environment", "options", "count"),
    [
        ({}, [], 1),
        ({"OMP_NUM_THREADS": "2"}, [], 2),
        ({"OMP_NUM_THREADS": "2"}, ["--threads=3"], 3),
    ],
)
def test_what_the_user_says_counts_and_is_recorded(
    tmp_path, word_list, environment, options, count
):
    command = [sys.executable, "train.py", "fit", "--data.path", str(word_list), "--name", "run"]
    command += ["--data.batch_size", "16", "--trainer.max_steps", "2", "--runs_dir", str(tmp_path)]
    command += ["--trainer.accelerator", "cpu", *options]
    inherited = {k: v for k, v in os.environ.items() if k != "OMP_NUM_THREADS"}
    environment = {**inherited, **environment}
    subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, check=True)
    saved = torch.load(tmp_path / "run" / "checkpoints" / "last.ckpt", weights_only=True)
    assert saved["lit_makemore"]["threads"] == count
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["threads"] == count

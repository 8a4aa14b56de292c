"""Fits of several processes, as the tests start them."""

import os
import subprocess
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from tests.conftest import ROOT

BARE = ["--model.norm", "none"]


def fit(folder: Path, words: Path, name: str, processes: int, *more: str) -> list[str]:
    """The command of a small fit on so many processes, started by Lightning's own launcher."""
    command = [sys.executable, "train.py", "fit", "--data.path", str(words), "--name", name]
    command += ["--runs_dir", str(folder), "--threads", "1", "--data.batch_size", "16"]
    command += ["--model.n_hidden", "20", "--trainer.accelerator", "cpu"]
    command += ["--trainer.devices", str(processes)]
    command += ["--trainer.strategy", "ddp"] if processes > 1 else []
    return [*command, *more]


def run(command: list[str], **options) -> subprocess.CompletedProcess:
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=900, **options)


def signal_one_by_one(pids: Iterable[int], signum: int) -> None:
    """0.1 s apart; a process that has ended by then, with the first one, needs none."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signum)
        time.sleep(0.1)

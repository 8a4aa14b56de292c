"""Every import and a fit where the system lacks what Linux has: as Windows and macOS do."""

import os
import subprocess
import sys

import pytest

from lit_makemore import model as checkpoint
from tests.conftest import ROOT

# Other people's packages are imported first: here they are those for Linux.
LACKING = """
import importlib, os, pkgutil, runpy, signal, sys
import lightning.pytorch, tensorboard, torch
import lightning.pytorch.trainer.connectors.signal_connector as connector
if {windows}:
    connector._IS_WINDOWS = True
    connector.signal.valid_signals = lambda: {{signal.SIGINT, signal.SIGTERM}}
for name in {signals!r}:
    delattr(signal, name)
for name in {modules!r}:
    sys.modules[name] = None
for name in {functions!r}:
    delattr(os, name)
os.environ["PATH"] = ""
import lit_makemore
for module in pkgutil.walk_packages(lit_makemore.__path__, "lit_makemore."):
    importlib.import_module(module.name)
sys.argv = ["train.py", *sys.argv[1:]]
runpy.run_path("train.py", run_name="__main__")
"""
SYSTEMS = {
    "macos": {"windows": False, "signals": [], "modules": [], "functions": ["sched_getaffinity"]},
    "windows": {
        "windows": True,
        "signals": ["SIGUSR1", "SIGUSR2", "SIGHUP", "SIGKILL", "SIGALRM", "SIGCONT", "setitimer"],
        "modules": ["fcntl", "resource", "pwd", "grp", "termios", "tty", "pty", "syslog"],
        "functions": ["sched_getaffinity", "fork", "killpg", "getuid", "getloadavg", "sysconf"],
    },
}


@pytest.mark.slow
@pytest.mark.parametrize("system", SYSTEMS)
def test_imports_and_a_fit_need_nothing_that_only_linux_has(tmp_path, word_list, system):
    arguments = ["fit", "--data.path", str(word_list), "--data.batch_size", "16"]
    arguments += ["--model.n_hidden", "10", "--runs_dir", str(tmp_path), "--name", "run"]
    arguments += ["--trainer.max_steps", "50", "--trainer.max_time", "00:01:00:00"]
    environment = {name: value for name, value in os.environ.items() if name != "CXX"}
    command = [sys.executable, "-c", LACKING.format(**SYSTEMS[system]), *arguments]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "there is no C++ compiler; install g++" in done.stderr
    assert checkpoint.read(tmp_path / "run" / "checkpoints" / "last.ckpt")["global_step"] == 50
    assert (tmp_path / "run" / "summary.json").exists()

"""On which machine, and by which program, a run is made."""

import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

from lit_makemore import __version__


def machine_facts() -> dict[str, Any]:
    """The entries of summary.json about machine and versions."""
    packages = ("torch", "lightning", "torchmetrics", "tensorboard")
    versions = {name: version(name) for name in packages}
    return {
        "machine": f"{os.cpu_count()} cores, {cpu_name()}",
        "versions": {"lit_makemore": __version__, "python": platform.python_version(), **versions},
        "git_commit": git_commit(),
    }


def cpu_name() -> str:
    """The name of the processor as the machine gives it, as "Intel(R) Xeon(R)"."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(
            line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")
        )
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def git_commit() -> str | None:
    """The commit of this program, with "-dirty" if the tree differs; None outside a checkout."""
    package = Path(__file__).parents[1]
    if not (package.parent / "train.py").exists():  # installed, perhaps inside another repository
        return None
    try:
        command = ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
        done = subprocess.run(
            command, cwd=package, capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()

"""The ordinary tests on other versions of Python and torch: python -m tests.benchmarks.versions

    python -m tests.benchmarks.versions [--quick] [--here] [--list] [PYTHON/TORCH …]

Without arguments: every Python with the torch that the project is developed on (or the first that
has wheels for it), every torch with the Python, and two corners: the oldest Python with the lowest
version that pyproject.toml allows of each dependency ("lowest" in place of a torch), and the newest
Python with the newest torch. --quick tries the corners only. Each pair is tried in an environment
of its own that uv makes (pip install uv; some gigabytes, since torch comes with CUDA on Linux). An
interpreter must be on the PATH or where pyenv keeps it. --here tries the environment that it runs
in instead. The last lines are a table, for docs/versions.md.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from time import perf_counter

from tests.conftest import ROOT

PYTHONS = ("3.10", "3.11", "3.12", "3.13", "3.14", "3.15")
TORCHES = ("2.11.0", "2.12.0", "2.13.0", "2.14.1", "2.15.0")
FIRST_TORCH = {"3.15": "2.15.0"}  # that has wheels for a Python
USUAL = ("3.11", "2.13.0")  # what the project is developed on
CORNERS = (("3.10", "lowest"), ("3.15", "2.15.0"))


def pairs() -> list[tuple[str, str]]:
    """What is tried without arguments: (Python, torch)."""
    by_python = [(python, FIRST_TORCH.get(python, USUAL[1])) for python in PYTHONS]
    by_torch = [(USUAL[0], torch) for torch in TORCHES]
    return list(dict.fromkeys([*by_python, *by_torch, *CORNERS]))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.versions")
    parser.add_argument("pairs", nargs="*", metavar="PYTHON/TORCH", help="such as 3.12/2.13.0")
    parser.add_argument("--quick", action="store_true", help="the oldest and the newest pair only")
    parser.add_argument("--here", action="store_true", help="what is installed, instead")
    parser.add_argument("--list", action="store_true", help="print the pairs, and try none")
    arguments = parser.parse_args()
    given = [tuple(pair.split("/")) for pair in arguments.pairs]
    chosen = given or (CORNERS if arguments.quick else pairs())
    if arguments.list:
        print("\n".join(map("/".join, chosen)))
        return 0
    rows = [tried([sys.executable])] if arguments.here else []
    for python, torch in [] if arguments.here else chosen:
        print(f"== Python {python}, torch {torch}", flush=True)
        rows.append(row(python, torch))
    print(table(rows))
    return int(any(not row[2].startswith("passed") for row in rows))


def row(python: str, torch: str) -> tuple[str, ...]:
    """Runs the tests on a pair, in an environment of its own; returns a row of the table."""
    interpreter = interpreter_of(python)
    if interpreter is None:
        return python, torch, "no such interpreter", "", "", "", ""
    lowest = ["--resolution", "lowest-direct"]
    python_with = [uv(), "run", "--quiet", "--no-project", "--isolated"]
    python_with += lowest if torch == "lowest" else ["--with", f"torch=={torch}"]
    python_with += ["--with-editable", f"{ROOT}[test]"]
    python_with += ["--python", interpreter, "--no-python-downloads", "python"]
    return tried(python_with) or (python, torch, "cannot be installed", "", "", "", "")


def tried(python_with: list[str]) -> tuple[str, ...] | None:
    """Runs the tests by the command of a Python; returns a row, or None if it has no torch."""
    versions = "import platform, torch; print(platform.python_version(), torch.__version__)"
    made = subprocess.run([*python_with, "-c", versions], capture_output=True, text=True, cwd=ROOT)
    if made.returncode:
        print(made.stderr, flush=True)
        return None
    begun = perf_counter()
    command = [*python_with, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    tested = subprocess.run(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    print(tested.stdout, flush=True)
    outcome = "passed" if tested.returncode == 0 else f"failed (status {tested.returncode})"
    counts = count(tested.stdout, ("passed", "failed", "skipped"))
    return *made.stdout.split(), outcome, *counts, f"{perf_counter() - begun:.0f}"


def interpreter_of(version: str) -> str | None:
    """The path of a Python of this version, such as 3.12, or None."""
    found = shutil.which(f"python{version}")
    known = Path(os.environ.get("PYENV_ROOT", "~/.pyenv")).expanduser() / "versions"
    of_pyenv = sorted(known.glob(f"{version}.*/bin/python"), key=_numbers)
    if of_pyenv:  # what lies on the PATH may be a shim that starts another version
        return str(of_pyenv[-1])
    return found


def _numbers(path: Path) -> list[int]:
    return list(map(int, re.findall(r"\d+", path.parent.parent.name)))


def uv() -> str:
    """The path of uv."""
    beside = Path(sys.executable).parent / "uv"
    found = shutil.which("uv") or (str(beside) if beside.exists() else None)
    if found is None:
        sys.exit("this needs uv: pip install uv")
    return found


def count(output: str, outcomes: Iterable[str]) -> list[str]:
    """How many tests had each outcome, by pytest's last line."""
    last = output.strip().splitlines()[-1]
    found = {outcome: n for n, outcome in re.findall(r"(\d+) (\w+)", last)}
    return [found.get(outcome, "0") for outcome in outcomes]


def table(rows: Iterable[tuple[str, ...]]) -> str:
    """The rows as a table of Markdown."""
    head = ("Python", "torch", "tests", "passed", "failed", "skipped", "seconds")
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


if __name__ == "__main__":
    sys.exit(main())

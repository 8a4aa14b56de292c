"""Output is the same in every locale, and no stream need be open."""

import os
import subprocess
import sys

import pytest

from tests.conftest import ROOT

WORDS = (
    "анна борис вера глеб дарья егор жанна зоя иван кира лев мария нина олег павел роман".split()
)
ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


def run(arguments, redirected="", **environment) -> subprocess.CompletedProcess:
    inherited = {k: v for k, v in os.environ.items() if k not in ("LC_ALL", "PYTHONUTF8")}
    command = ["sh", "-c", f'exec "$@" {redirected}', "sh", sys.executable, "train.py", *arguments]
    return subprocess.run(command, cwd=ROOT, env={**inherited, **environment}, capture_output=True)


@pytest.fixture
def fit(tmp_path):
    """The command line of a fit on Cyrillic words, in a file with a Cyrillic name."""
    path = tmp_path / "имена.txt"
    path.write_text("\n".join(WORDS), encoding="utf-8")

    def fit(name: str) -> list[str]:
        arguments = ["fit", "--data.path", str(path), "--data.batch_size", "8", "--name", name]
        arguments += ["--trainer.max_steps", "2", "--trainer.accelerator", "cpu"]
        return [*arguments, "--model.n_layer", "1", "--runs_dir", str(tmp_path)]

    return fit


@pytest.mark.slow
def test_an_ascii_locale_prints_and_writes_the_same(fit, tmp_path):
    for name, environment in (("usual", {"PYTHONUTF8": "1"}), ("ascii", ASCII)):
        done = run(fit(name), **environment)
        assert done.returncode == 0, done.stderr
        tables = done.stdout.decode().split(str(tmp_path))[0]
        if name == "usual":
            expected = tables
        assert tables == expected
        assert "·" in done.stderr.decode()
    assert "Kneser–Ney" in expected  # its dash is not ASCII
    samples = [(tmp_path / name / "samples.txt").read_bytes() for name in ("usual", "ascii")]
    assert samples[0] == samples[1]
    done = run([*fit("ascii"), "--resume", "true"], **ASCII)
    assert b"is already finished" in done.stderr, done.stderr
    best = str(tmp_path / "ascii" / "checkpoints" / "best.ckpt")
    draws = [
        run(["sample", "--ckpt_path", best, "--seed", "1"], **environment).stdout.decode()
        for environment in ({}, {"PYTHONIOENCODING": "ascii"}, ASCII)
    ]
    assert set("".join(WORDS)) & set(draws[0])
    assert draws[0] == draws[1] == draws[2]


@pytest.mark.slow
@pytest.mark.parametrize("redirected", ["2>&-", ">&-", "<&- >&- 2>&-"])
def test_a_closed_stream_stops_no_run(fit, tmp_path, redirected):
    done = run(fit("run"), redirected)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run" / "summary.json").exists()
    if redirected == "2>&-":
        assert b"step 2/2" not in done.stdout  # what is for stderr does not go to stdout

"""The recipes of docs/change_it.md: each edit is made in a copy of the program and run."""

import json
import re
import shutil
import subprocess
import sys

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.conftest import ROOT

PAGE = (ROOT / "docs" / "change_it.md").read_text("utf-8")
RECIPES = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", PAGE, re.DOTALL | re.MULTILINE))
PARTS = re.compile(r"In `(?P<file>[^`]+)`|```(?P<kind>\w+)\n(?P<text>.*?)```", re.DOTALL)
SHORT = ["--trainer.max_steps", "40", "--trainer.val_check_interval", "20", "--threads", "1"]
SHORT += ["--trainer.accelerator", "cpu", "--model.schedule", "step", "--model.n_hidden", "16"]
SHORT += ["--data.path", "data/names_small.txt", "--diagnostics.every_n_steps", "10"]


def edit(path, diff: str) -> None:
    """Replaces the lines of a diff without marks and with -, which occur once."""
    lines = diff.splitlines()
    old, new = (
        "\n".join(line[1:] for line in lines if line[:1] in (" ", mark)) for mark in ("-", "+")
    )
    text = path.read_text("utf-8")
    assert text.count(f"{old}\n") == 1, old
    path.write_text(text.replace(f"{old}\n", f"{new}\n"), "utf-8")


def seen(recipe: str, tags: set[str], said: str, summary: dict) -> bool:
    """Whether a run shows what a recipe has changed."""
    by_autograd = summary["engine"] == "autograd"
    return {
        "An activation": by_autograd and any(re.search("/(gelu|sine)$", tag) for tag in tags),
        "A norm": by_autograd and "RMSNorm has no native step" in said,
        "A residual connection": by_autograd,
        "An optimizer": by_autograd and "momentum 0.9" in said,
        "A loss": by_autograd,
        "A metric": "val/top3" in tags,
        "A callback": not by_autograd and re.search(r"update 20: \w+\nupdate 40: \w+", said),
        "A figure": any(tag.startswith("activation_largest/hidden1") for tag in tags),
    }[recipe]


@pytest.mark.slow
@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_does_what_it_says(recipe, tmp_path):
    for name in ("lit_makemore", "configs", "data", "train.py"):
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pyc*"))
        else:
            shutil.copy(ROOT / name, tmp_path)
    file, runs = "", 0
    for part in PARTS.finditer(RECIPES[recipe]):
        file = part["file"] or file
        if part["kind"] == "diff":
            edit(tmp_path / file, part["text"])
        elif part["kind"] == "python":
            (tmp_path / "mine.py").write_text(part["text"])
        elif part["kind"] == "sh":
            runs += 1
            command = [sys.executable, *part["text"].split()[1:], *SHORT, "--name", f"run{runs}"]
            done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
            assert done.returncode == 0, done.stderr
            run = tmp_path / "runs" / f"run{runs}"
            tags = {*EventAccumulator(str(run)).Reload().Tags()["scalars"]}
            summary = json.loads((run / "summary.json").read_text())
            assert seen(recipe, tags, done.stdout + done.stderr, summary), done.stderr
    assert runs

"""The committed results: they match the published ones, and the texts repeat them."""

import json
import subprocess
import sys
from statistics import mean

import pytest

from tests.conftest import ROOT

RUNS = json.loads((ROOT / "docs" / "results.json").read_text())
ROWS = {row["config"]: row for row in RUNS}


@pytest.mark.parametrize(
    ("config", "low", "high"),
    [("one_layer", 2.134, 2.174), ("deep", 2.084, 2.108), ("logits_bn", 0, 2.1), ("blog", 0, 2.1)],
)
def test_the_published_networks_reach_the_published_losses(config, low, high):
    assert low <= ROWS[f"configs/reference/{config}.yaml"]["val_loss"] <= high


def test_the_published_networks_are_healthy_over_their_whole_runs():
    for config, row in ROWS.items():
        if "reference" in config:
            assert row["unhealthy"] == {}, config


@pytest.mark.parametrize(
    ("config", "most", "params", "seeds"),
    [
        ("names_distilled", 2.0560, 46_997, 5),  # the count model: 2.0608
        ("names_mixture", 2.0500, 46_997, 5),
        ("best_small", 1.975, 76_579, 5),  # the lecture's WaveNet: 1.9937
        ("best", 1.925, None, 2),
        ("ten_seconds", 1.960, None, 5),
    ],
)
def test_ours_go_below_every_published_loss(config, most, params, seeds):
    rows = [row for row in RUNS if row["config"] == f"configs/{config}.yaml"]
    assert len({row["seed"] for row in rows}) == seeds
    assert mean(row["val_loss"] for row in rows) <= most
    assert params is None or rows[0]["params"] <= params
    assert min(row["wall_s"] for row in rows) <= 600  # the others shared the machine
    assert len({row["git_commit"] for row in rows}) == 1


def test_readme_and_configs_say_what_the_results_file_says():
    done = subprocess.run([sys.executable, "docs/results.py", "check"], cwd=ROOT)
    assert done.returncode == 0

"""The committed results: they match the published ones, and the texts repeat them."""

import json
import subprocess
import sys

import pytest

from tests.conftest import ROOT

ROWS = {row["config"]: row for row in json.loads((ROOT / "docs" / "results.json").read_text())}


@pytest.mark.parametrize(
    ("config", "low", "high"),
    [
        ("one_layer", 2.134, 2.174),
        ("deep", 2.084, 2.108),
        ("logits_bn", 0.0, 2.10),
        ("blog", 0.0, 2.10),
    ],
)
def test_the_published_networks_reach_the_published_losses(config, low, high):
    assert low <= ROWS[f"configs/reference/{config}.yaml"]["val_loss"] <= high


def test_the_published_networks_are_healthy_over_their_whole_runs():
    for config, row in ROWS.items():
        if "reference" in config:
            assert row["unhealthy"] == {}, config


def test_readme_and_configs_say_what_the_results_file_says():
    done = subprocess.run([sys.executable, "docs/results.py", "check"], cwd=ROOT)
    assert done.returncode == 0

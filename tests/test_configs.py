"""Every configuration parses and takes a step."""

from pathlib import Path

import pytest

from lit_makemore.cli import main
from tests.conftest import NAMES, ROOT

CONFIGS = sorted((ROOT / "configs").rglob("*.yaml"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_a_config_takes_a_step(path: Path):
    if "names_small" not in path.read_text() and not NAMES.exists():
        pytest.skip("data/names.txt is not there")
    assert main(["fit", "--config", str(path), "--trainer.fast_dev_run", "1"]) == 0


def test_a_config_opens_with_its_command():
    for path in CONFIGS:
        command = f"python train.py fit --config {path.relative_to(ROOT)}"
        assert command in path.read_text().split("\n\n")[0], path

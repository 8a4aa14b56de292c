"""docs/other_model.py: the monitors on a model that is not ours."""

import subprocess
import sys

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.conftest import ROOT


@pytest.mark.slow
def test_the_example_runs_and_is_judged(tmp_path):
    command = [sys.executable, "docs/other_model.py", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    assert "update_ratio  ok" in done.stdout
    (run,) = (tmp_path / "spirals").iterdir()
    tags = EventAccumulator(str(run)).Reload().Tags()
    for group in ("activation_std/body.2", "gradient_std/body.5", "batch_norm_drift/body.1"):
        assert group in tags["scalars"]
    assert "pictures/5_saturation" in tags["images"]

"""docs/other_model.py: the monitor on a model that is not ours."""

import runpy
import sys

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.conftest import ROOT


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*num_workers:UserWarning")
def test_the_example_runs_and_is_judged(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["other_model.py", str(tmp_path)])
    runpy.run_path(str(ROOT / "docs" / "other_model.py"), run_name="__main__")
    said = capsys.readouterr().out
    assert "update_ratio  ok" in said
    assert "of a module with a vocab and a method loss(batch)" in " ".join(said.split())
    assert said.splitlines()[-1].split()[0] == "500"  # the last probe of the history
    (run,) = (tmp_path / "spirals").iterdir()
    tags = EventAccumulator(str(run)).Reload().Tags()
    for group in ("activation_std/body.2", "gradient_std/body.5", "batch_norm_drift/body.1"):
        assert group in tags["scalars"]
    assert "pictures/5_saturation" in tags["images"]

"""Every configuration parses and takes a step."""

import re
from pathlib import Path

import pytest
import yaml

from lit_makemore.cli import main
from tests.conftest import ROOT

CLUSTER = sorted((ROOT / "configs" / "cluster").glob("*.yaml"))
SWEEPS = {*(ROOT / "configs" / "sweep").glob("*.yaml")}  # tests/commands/test_sweep.py
LARGE = "best best_small ten_seconds window_8 window_6_counts window_8_counts".split()
LARGE += ["window_8_counts_dropout"]
CONFIGS = sorted({*(ROOT / "configs").rglob("*.yaml")} - {*CLUSTER} - SWEEPS)


@pytest.mark.filterwarnings("ignore:Skipping learning rate finder")  # in a fast_dev_run
@pytest.mark.parametrize(
    "path",
    [pytest.param(p, marks=[pytest.mark.slow] * (p.stem in LARGE), id=p.stem) for p in CONFIGS],
)
def test_a_config_takes_a_step(path: Path, capsys):
    """On the list that ships: a long one takes seconds."""
    few = ["--data.path", "data/names_small.txt", "--trainer.fast_dev_run", "1"]
    few += ["--trainer.accelerator", "cpu"]
    assert main(["fit", "--config", str(path), *few]) == 0
    # Whether one update agrees is also chance, where there are kinks; that it can be made is not.
    assert "a copy of the module fails" not in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("path", CLUSTER, ids=lambda path: path.stem)
def test_an_overlay_for_clusters_is_of_trainer_scalars(path: Path):
    overlay = yaml.safe_load(path.read_text())
    assert overlay.keys() == {"trainer"}
    assert all(isinstance(value, int | str) for value in overlay["trainer"].values())
    here = ["--trainer.accelerator", "cpu", "--trainer.devices", "1", "--trainer.num_nodes", "1"]
    quick = ["--config", "configs/quickstart.yaml", "--config", str(path)]
    assert main(["fit", *quick, *here, "--trainer.fast_dev_run", "1"]) == 0


def test_the_batch_script_asks_for_what_its_overlay_says():
    script = (ROOT / "configs" / "cluster" / "train.sbatch").read_text()
    trainer = yaml.safe_load((ROOT / "configs" / "cluster" / "slurm.yaml").read_text())["trainer"]
    lines = dict(re.findall(r"^#SBATCH --([a-z-]+)=(\S+)", script, re.M))
    assert int(lines["nodes"]) == trainer["num_nodes"]
    assert int(lines["ntasks-per-node"]) == trainer["devices"]
    assert lines["gres"] == f"gpu:{trainer['devices']}"


def test_a_config_opens_with_its_command():
    for path in CONFIGS:
        command = f"python train.py fit --config {path.relative_to(ROOT)}"
        assert command in path.read_text().split("\n\n")[0], path

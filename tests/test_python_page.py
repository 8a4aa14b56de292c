"""The script of docs/python.md, run as it stands."""

import csv
import logging
import re

import pytest
import yaml

from tests.conftest import ROOT


@pytest.mark.filterwarnings("ignore:The number of training batches", "ignore:The '.*_dataloader")
def test_the_page_runs(tmp_path, monkeypatch, capfd):
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs/python.md").read_text(), re.DOTALL)
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    lightning = logging.getLogger("lightning.pytorch")
    level = lightning.level
    try:
        exec("\n".join(blocks), names)  # data/names_small.txt ships with the program
    finally:
        lightning.setLevel(level)
    assert names["model"].engine == "native"
    assert len(names["names"]) == 5
    assert all(name.startswith("ma") for name in names["names"])
    assert names["x"].shape == (64, 3)
    said = capfd.readouterr()
    assert "500/500" in said.out + said.err  # Lightning's bar counts updates
    assert [step for step, _ in names["monitor"].history][-1] == 100  # of the second fit
    assert (tmp_path / "logs/embedding.png").stat().st_size > 1000
    (settings,) = tmp_path.rglob("hparams.yaml")
    assert yaml.safe_load(settings.read_text())["n_hidden"] == 64
    (curves,) = tmp_path.rglob("metrics.csv")
    rows = list(csv.DictReader(curves.read_text().splitlines()))
    assert {"50", "100", "500"} <= {row["step"] for row in rows if row["train/loss"]}

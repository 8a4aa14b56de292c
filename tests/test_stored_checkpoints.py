"""Checkpoints of earlier versions load, sample, score and resume.

format_1/ holds runs of 60 updates on 30 words, made before the package had rooms: a plain one with
`model.clip_norm`, a mixture with counts, one with steps that torch compiled, one with its teacher.
expected.json is what that version printed of them.
"""

import json
import shutil

import pytest

from lit_makemore.cli import main
from lit_makemore.training.module import LitMLP
from tests.conftest import ROOT

STORED = ROOT / "tests" / "format_1"
EXPECTED = json.loads((STORED / "expected.json").read_text())
MODELS = {
    "plain": ["--trainer.gradient_clip_val", "1.0"],
    "mixture": [
        *("--model.count_mixture", "true", "--model.optimizer", "adamw", "--model.lr", "0.01"),
        *("--data.targets", "expected"),
    ],
    "fused": [
        *("--model.optimizer", "adamw", "--model.lr", "0.01", "--data.sampling", "shuffled"),
    ],
    "taught": [
        *("--model.optimizer", "adamw", "--model.lr", "0.01", "--model.schedule", "one_cycle"),
        *("--data.targets", "teacher", "--data.teachers", "[teacher.yaml]"),
    ],
}
USUAL = (
    "--data.path words.txt --data.batch_size 16 --model.n_embd 4 --model.n_hidden 8 "
    "--model.n_layer 2 --threads 1 --diagnostics.enabled false"
).split()


@pytest.fixture
def stored(tmp_path, monkeypatch):
    """The stored runs as runs/ of the working directory."""
    shutil.copytree(STORED, tmp_path / "runs")
    for name in ("words.txt", "teacher.yaml"):
        (tmp_path / "runs" / name).rename(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "runs"


def options(name: str) -> list[str]:
    eager = ["--model.engine", "auto" if name == "fused" else "eager"]
    if name == "taught/teachers/1":
        return [*USUAL, *eager, "--model.activation", "relu"]
    return [*USUAL, *eager, *MODELS[name]]


@pytest.mark.parametrize("name", EXPECTED)
def test_it_samples_the_same_names(stored, capsys, name):
    path = stored / name / "checkpoints" / "last.ckpt"
    assert main(["sample", "--ckpt_path", str(path), "--num", "8", "--seed", "1"]) == 0
    assert capsys.readouterr().out.splitlines() == EXPECTED[name]["samples"]


@pytest.mark.parametrize("name", EXPECTED)
def test_it_scores_and_validates_the_same(stored, capsys, name):
    (stored.parent / "score.txt").write_text("ada\nselma\nmarta\n")
    path = str(stored / name / "checkpoints" / "last.ckpt")
    usual = ["--ckpt_path", path, *options(name)]
    assert main(["predict", *usual, "--data.predict_path", "score.txt"]) == 0
    rows = capsys.readouterr().out.splitlines()[1:]
    found = [float(row.split(",")[1]) for row in rows]
    assert found == pytest.approx(EXPECTED[name]["scores"], abs=2e-6)
    assert main(["validate", *usual]) == 0
    metrics = dict(line.split() for line in capsys.readouterr().out.splitlines())
    assert float(metrics["val/loss"]) == EXPECTED[name]["val_loss"]


@pytest.mark.parametrize("name", MODELS)
def test_it_is_resumed_to_the_same_losses(stored, name):
    override = ["--resume_override", "true"] if name in ("taught", "fused") else []
    arguments = [*options(name), *override, "--resume", f"runs/{name}", "--trainer.max_steps", "90"]
    assert main(["fit", *arguments]) == 0
    found = json.loads((stored / name / "summary.json").read_text())["final"]
    tolerance = 1e-5 if name == "fused" else 0.0  # by another engine
    for split, loss in EXPECTED[name]["resumed_to_90"].items():
        assert found[split] == pytest.approx(loss, abs=tolerance), split


def test_it_loads_in_a_script(stored):
    model = LitMLP.load_from_checkpoint(stored / "mixture" / "checkpoints" / "last.ckpt")
    assert model.counts is not None
    assert model.predictor().weight == model.mixture_weight < 1


@pytest.mark.parametrize(("name", "clip"), [("plain", "1.0"), ("mixture", "null")])
def test_a_configuration_of_that_time_is_understood(stored, capsys, name, clip):
    config, path = stored / name / "config.yaml", stored / name / "checkpoints" / "last.ckpt"
    assert f"clip_norm: {clip}" in config.read_text()
    assert main(["validate", "--config", str(config), "--ckpt_path", str(path)]) == 0
    assert f"{EXPECTED[name]['val_loss']:.4f}" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["fit", "--config", str(config), "--print_config"])
    assert f"gradient_clip_val: {clip}" in capsys.readouterr().out


def test_an_option_of_that_time_has_a_remedy(capsys):
    with pytest.raises(SystemExit):
        main(["fit", "--model.clip_norm", "1.0"])
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "use --trainer.gradient_clip_val" in line

"""Checkpoints of earlier versions load, sample, score and resume.

format_1/ holds runs of 60 updates on 30 words, made before the package had rooms: a plain one with
`model.clip_norm`, a mixture with counts, one with steps that torch compiled, one with its teacher.
Their end mark was ".". format_2/ holds a plain run and a mixture on 30 words of which some have a
".". format_3/ holds a mixture that knows its training words. expected.json is what the version of
that time printed of them.
"""

import json
import shutil

import pytest

from lit_makemore.cli import main
from lit_makemore.training.module import LitMLP
from tests.conftest import ROOT

TESTS = ROOT / "tests"
EXPECTED = {
    f"{folder}/{name}": of_run
    for folder in ("format_1", "format_2", "format_3")
    for name, of_run in json.loads((TESTS / folder / "expected.json").read_text()).items()
}
SCORED = {
    "format_1": "ada\nselma\nmarta\n",
    "format_2": "St. Ives\nBude\nSt. Bude.\n",
    "format_3": "St. Ives\nBude\nSt. Bude.\n",
}
MODELS = {
    "plain": [],
    "mixture": [
        *("--model.count_mixture", "true", "--model.optimizer", "adamw", "--model.lr", "0.01"),
        *("--data.targets", "expected"),
    ],
    "known": [
        *("--model.count_mixture", "true", "--model.known_words", "true"),
        *("--data.block_size", "10", "--data.targets", "expected"),
        *("--model.optimizer", "adamw", "--model.lr", "0.1"),
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
def stored(tmp_path, monkeypatch, run):
    """The stored runs of a format as runs/ of the working directory; the folder of this run."""
    folder, name = run.split("/", 1)
    shutil.copytree(TESTS / folder, tmp_path / "runs")
    for path in (tmp_path / "runs").glob("*.*"):
        path.rename(tmp_path / path.name)
    (tmp_path / "score.txt").write_text(SCORED[folder])
    monkeypatch.chdir(tmp_path)
    return tmp_path / "runs" / name


def checkpoint_of(stored) -> str:
    return str(stored / "checkpoints" / "last.ckpt")


def options(run: str) -> list[str]:
    name = run.split("/", 1)[1]
    eager = ["--model.engine", "auto" if name == "fused" else "eager"]
    if name == "taught/teachers/1":
        return [*USUAL, *eager, "--model.activation", "relu"]
    clip = ["--trainer.gradient_clip_val", "1.0"] if run == "format_1/plain" else []
    return [*USUAL, *eager, *MODELS[name], *clip]


@pytest.mark.parametrize("run", EXPECTED)
def test_it_samples_the_same_names(stored, capsys, run):
    assert main(["sample", "--ckpt_path", checkpoint_of(stored), "--num", "8", "--seed", "1"]) == 0
    assert capsys.readouterr().out.splitlines() == EXPECTED[run]["samples"]


@pytest.mark.parametrize("run", EXPECTED)
def test_it_scores_and_validates_the_same(stored, capsys, run):
    usual = ["--ckpt_path", checkpoint_of(stored), *options(run)]
    assert main(["predict", *usual, "--data.predict_path", "score.txt"]) == 0
    rows = capsys.readouterr().out.splitlines()[1:]
    found = [float(row.split(",")[1]) for row in rows]
    assert found == pytest.approx(EXPECTED[run]["scores"], abs=2e-6)
    assert main(["validate", *usual]) == 0
    metrics = dict(line.split() for line in capsys.readouterr().out.splitlines())
    assert float(metrics["val/loss"]) == EXPECTED[run]["val_loss"]


@pytest.mark.parametrize("run", [run for run in EXPECTED if "resumed_to_90" in EXPECTED[run]])
def test_it_is_resumed_to_the_same_losses(stored, run):
    name = stored.name
    override = ["--resume_override", "true"] if name in ("taught", "fused") else []
    arguments = [*options(run), *override, "--resume", f"runs/{name}", "--trainer.max_steps", "90"]
    assert main(["fit", *arguments]) == 0
    found = json.loads((stored / "summary.json").read_text())["final"]
    # fused: by another engine; known: the factors are sums of exponentials
    tolerance = {"fused": 1e-5, "known": 1e-7}.get(name, 0.0)
    for split, loss in EXPECTED[run]["resumed_to_90"].items():
        assert found[split] == pytest.approx(loss, abs=tolerance), split


@pytest.mark.parametrize("run", ["format_1/mixture"])
def test_it_loads_in_a_script(stored):
    model = LitMLP.load_from_checkpoint(checkpoint_of(stored))
    assert model.counts is not None
    assert model.predictor().weight == model.mixture_weight < 1


@pytest.mark.parametrize(("run", "clip"), [("format_1/plain", "1.0"), ("format_1/mixture", "null")])
def test_a_configuration_of_that_time_is_understood(stored, capsys, run, clip):
    config = stored / "config.yaml"
    assert f"clip_norm: {clip}" in config.read_text()
    path = checkpoint_of(stored)
    assert main(["validate", "--config", str(config), "--ckpt_path", path]) == 0
    assert f"{EXPECTED[run]['val_loss']:.4f}" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["fit", "--config", str(config), "--print_config"])
    assert f"gradient_clip_val: {clip}" in capsys.readouterr().out


def test_an_option_of_that_time_has_a_remedy(capsys):
    with pytest.raises(SystemExit):
        main(["fit", "--model.clip_norm", "1.0"])
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "use --trainer.gradient_clip_val" in line

"""Verdicts of whole runs from the command line."""

import json
from random import Random

import pytest

from lit_makemore.cli import main


def health(tmp_path, *options: str) -> dict[str, str]:
    """The verdicts in summary.json."""
    arguments = ["fit", "--runs_dir", str(tmp_path), "--name", "run", "--threads", "1"]
    arguments += ["--diagnostics.pictures", "false", "--data.batch_size", "16"]
    assert main([*arguments, "--model.n_hidden", "16", *options]) == 0
    return json.loads((tmp_path / "run" / "summary.json").read_text())["health"]


@pytest.fixture
def words(tmp_path):
    """A list of words drawn by lot: there is nothing to learn but the words themselves."""
    random = Random(1)
    path = tmp_path / "words.txt"
    path.write_text("".join("".join(random.choices("abcdefghijkl", k=6)) + "\n" for _ in range(60)))
    return ["--data.path", str(path)]


BY_HEART = [
    *("--model.n_hidden", "100", "--model.n_layer", "2", "--model.optimizer", "adamw"),
    *("--model.lr", "0.01", "--data.block_size", "6", "--trainer.max_steps", "600"),
]


def failed(verdicts: dict[str, str]) -> set[str]:
    return {check for check, said in verdicts.items() if said.startswith("update")}


def test_a_list_that_is_learnt_by_heart_is_no_success(tmp_path, words):
    found = health(tmp_path, *words, *BY_HEART)
    assert {"overfit", "baseline", "memorised"} <= failed(found)


def test_zero_weights_are_the_worst_and_a_rate_that_vanishes_in_rounding_is_judged(tmp_path, words):
    zeros = ["--model.init.gain", "0", "--model.init.logits_gain", "0"]
    found = health(tmp_path, *words, *zeros, "--trainer.max_steps", "10")
    assert {"depth", "gradient", "update_ratio"} <= failed(found)
    found = health(tmp_path / "slow", *words, "--model.lr", "1e-12", "--trainer.max_steps", "10")
    assert "leaves" in found["update_ratio"]


def test_checks_of_words_can_stop_a_run(tmp_path, words, capsys):
    arguments = ["fit", *words, *BY_HEART, "--runs_dir", str(tmp_path), "--data.batch_size", "16"]
    arguments += ["--diagnostics.pictures", "false", "--diagnostics.fail_on", "memorised"]
    assert main([*arguments, "--trainer.val_check_interval", "100"]) == 1
    error = capsys.readouterr().err
    assert "stopped by diagnostics.fail_on at update" in error
    assert "memorised:" in error

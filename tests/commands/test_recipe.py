"""--recipe: options that follow from the list are plain values before anything is built."""

import json

import pytest
import yaml

from lit_makemore.cli import main
from lit_makemore.commands.lightning_cli import MakemoreCLI
from lit_makemore.training import recipe
from lit_makemore.training.recipe import options_for
from tests.conftest import WORDS

CONFIG = ["--config", "configs/words.yaml"]


def examples() -> int:
    """About: the characters and end marks of the training words."""
    return round(0.8 * len(".".join([*WORDS, ""])))


@pytest.mark.parametrize(("long", "targets"), [(10**6, "teacher"), (50, "expected")])
def test_the_list_chooses_the_options_and_the_user_replaces_any(
    word_list, monkeypatch, long, targets
):
    monkeypatch.setattr(recipe, "LONG", long)
    monkeypatch.setattr(recipe, "LONG_PASSES", 1000)  # else there would be no update
    arguments = [*CONFIG, "--data.path", str(word_list)]
    chosen = MakemoreCLI("fit", arguments).config
    for name, value in options_for("network", examples()).items():
        assert chosen[name] == value, name
    assert (chosen.recipe, chosen.data.targets) == (None, targets)
    defaults = ["--data.batch_size", "32", "--trainer.val_check_interval", "1000"]
    defaults += ["--model.n_hidden", "100"]
    given = MakemoreCLI("fit", [*arguments, *defaults]).config  # count, though they are defaults
    assert (given.data.batch_size, given.trainer.val_check_interval) == (32, 1000)
    assert given.model.n_hidden == 100
    assert given.trainer.max_steps == chosen.trainer.max_steps


def test_a_list_that_is_not_there_is_one_line(tmp_path, capsys):
    assert main(["fit", *CONFIG, "--data.path", str(tmp_path / "none.txt")]) == 1
    assert "none.txt" in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.slow
def test_a_short_list_is_never_worse_than_counting_and_its_run_resumes(tmp_path, word_list, capsys):
    arguments = ["fit", *CONFIG, "--data.path", str(word_list), "--threads", "1"]
    arguments += ["--runs_dir", str(tmp_path), "--name", "run", "--trainer.accelerator", "cpu"]
    assert main(arguments) == 0
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["val_loss"] <= summary["baselines"]["kneser_ney"]["val"] + 1e-6
    config = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    for name, value in options_for("network", examples()).items():
        group, _, key = name.partition(".")
        assert config[group][key] == (list(value) if isinstance(value, tuple) else value)
    assert config["recipe"] is None
    teacher = yaml.safe_load((tmp_path / "run" / "teachers" / "1" / "config.yaml").read_text())
    assert teacher["model"]["dropout"] == 0.65
    (tmp_path / "run" / "summary.json").unlink()  # as if it had been stopped before its table
    assert main([*arguments, "--resume", "true"]) == 0
    again = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert again["val_loss"] == summary["val_loss"]
    assert "changed from here on" not in capsys.readouterr().err
    best = str(tmp_path / "run" / "checkpoints" / "best.ckpt")
    one = ["--data.path", str(word_list), "--ckpt_path", best]
    assert main(["validate", *CONFIG, *one]) == 0
    assert f"{summary['val_loss']:.4f}" in capsys.readouterr().out

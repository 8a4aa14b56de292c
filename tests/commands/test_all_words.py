"""fit --all_words: the honest run, and its network once more on all words."""

import json
import shlex
from collections import Counter
from pathlib import Path

import pytest
import torch
import yaml

from lit_makemore import load
from lit_makemore.cli import main
from lit_makemore.model import read
from lit_makemore.training.datamodule import NamesDataModule
from lit_makemore.words.corpus import word_hashes
from lit_makemore.words.vocab import END
from tests.conftest import WORDS
from tests.same_run import differences, same

MIXED = ["--model.count_mixture", "true"]
OF_THE_CLOCK = {"wall_s", "steps_per_s", "name", "trained_on"}


@pytest.fixture
def fit(tmp_path, word_list):
    teacher = {"trainer": {"max_steps": 20, "log_every_n_steps": 1}}  # no groups
    teacher["model"] = {"n_hidden": 6, "n_layer": 1}
    (tmp_path / "teacher.yaml").write_text(yaml.dump(teacher))
    config = {
        "data": {"path": str(word_list), "batch_size": 16, "sampling": "shuffled"},
        "model": {"n_hidden": 8, "n_layer": 1, "lr": 0.3},
        "trainer": {"max_steps": 40, "val_check_interval": 8, "log_every_n_steps": 4},
        "diagnostics": {"enabled": False},
        "threads": 1,
    }
    # from the third validation on it gets worse
    config["model"] |= {"lr_milestones": [24], "lr_gamma": 300.0}
    (tmp_path / "tiny.yaml").write_text(yaml.dump(config))
    usual = ["fit", "--config", str(tmp_path / "tiny.yaml"), "--runs_dir", str(tmp_path)]
    return lambda name, *more: main([*usual, "--name", name, "--trainer.accelerator", "cpu", *more])


@pytest.fixture
def taught(tmp_path) -> list[str]:
    teacher = tmp_path / "teacher.yaml"
    return ["--data.targets", "teacher", "--data.teachers", f"[{teacher}]", *MIXED]


def counted(order: int) -> Counter[str]:
    """How often each window of so many characters is followed by each, in all words."""
    padded = [END * order + word + END for word in WORDS]
    return Counter(w[i : i + order + 1] for w in padded for i in range(len(w) - order))


@pytest.mark.parametrize("kind", ["plain", pytest.param("taught", marks=pytest.mark.slow)])
def test_all_words_are_learnt_after_the_run_which_stays_as_it_is(
    fit, taught, tmp_path, capsys, kind
):
    more = taught if kind == "taught" else []
    alone, run = tmp_path / "alone", tmp_path / "my run"
    assert fit("alone", *more) == 0
    capsys.readouterr()
    assert fit("my run", *more, "--all_words", "true") == 0
    printed = capsys.readouterr().out.splitlines()
    assert differences(alone, run) == []
    summaries = [json.loads((one / "summary.json").read_text()) for one in (alone, run)]
    assert [one.get("trained_on") for one in summaries] == [None, "all"]
    kept = [{k: v for k, v in one.items() if k not in OF_THE_CLOCK} for one in summaries]
    assert kept[0] == kept[1]

    best, final = (run / "checkpoints" / f"{name}.ckpt" for name in ("best", "all_words"))
    hashes = word_hashes(WORDS).unique()
    ours, theirs = load(final), load(best)
    assert torch.equal(ours.train_hashes, hashes)
    assert len(theirs.train_hashes) == 24
    steps = read(run / "all_words" / "checkpoints" / "last.ckpt")["global_step"]
    assert steps == read(best)["global_step"] < 40
    assert not same(ours.net.state_dict(), theirs.net.state_dict())
    if kind == "taught":
        teacher = load(run / "all_words" / "teachers" / "1" / "checkpoints" / "last.ckpt")
        assert torch.equal(teacher.train_hashes, hashes)
        mine, chosen = ours.mixture, theirs.mixture
        assert torch.equal(mine.weights, chosen.weights)
        assert mine.counts.discount == chosen.counts.discount
        windows = ("".join(ours.vocab.itos[i] for i in row) for row in mine.counts.rows.tolist())
        found = dict(zip(windows, mine.counts.counts.tolist(), strict=True))
        assert found == counted(chosen.counts.order)
    for line, command in zip(printed[-2:], ("sample", "export"), strict=True):
        words = shlex.split(line.partition(": ")[2])
        assert words[words.index("--ckpt_path") + 1] == str(final)
        assert main([*words[words.index(command) :], "--output", str(tmp_path / command)]) == 0
    config = str(run / "config.yaml")
    assert main(["validate", "--config", config, "--ckpt_path", str(final)]) == 0


@pytest.mark.parametrize(
    ("kind", "stop"),
    [("plain", 45), ("taught", 70), ("taught", 84)],
    ids=["plain", "in the teacher", "in the network"],
)
@pytest.mark.slow
def test_a_run_that_is_stopped_in_the_second_training_goes_on_with_it(
    fit, taught, tmp_path, capsys, sigterm_after, kind, stop
):
    more = [*(taught if kind == "taught" else []), "--all_words", "true"]
    more += ["--trainer.log_every_n_steps", "1"]  # no groups
    assert fit("whole", *more) == 0
    updates = sigterm_after(stop)
    assert fit("parts", *more) == 143
    parts = tmp_path / "parts"
    assert f"continue the whole run with fit --resume {parts}\n" in capsys.readouterr().err
    final = parts / "checkpoints" / "all_words.ckpt"
    assert not final.exists()
    assert main(["fit", "--resume", str(parts)]) == 0
    steps = read(parts / "checkpoints" / "best.ckpt")["global_step"]
    assert len(updates) == 40 + steps + (20 + 20) * (kind == "taught")
    whole = read(tmp_path / "whole" / "checkpoints" / "all_words.ckpt")
    assert same(whole["state_dict"], read(final)["state_dict"])
    assert fit("parts", "--resume", str(final)) == 1  # no run ends there
    assert "holds a network, and no run to go on with" in capsys.readouterr().err


def test_a_longer_run_forgets_what_has_learnt_all_words(fit, tmp_path):
    assert fit("run", "--all_words", "true") == 0
    more = ["--trainer.max_steps", "48", "--resume", "true"]
    assert fit("run", *more) == 0
    assert not (tmp_path / "run" / "all_words").exists()
    assert not (tmp_path / "run" / "checkpoints" / "all_words.ckpt").exists()
    assert fit("run", *more, "--all_words", "true") == 0  # of a run that is finished
    assert (tmp_path / "run" / "checkpoints" / "all_words.ckpt").exists()


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--all_words=true", "--trainer.devices=2"], "--all_words true needs one process"),
        (["--all_words=true", "--trainer.enable_checkpointing=false"], "enable_checkpointing true"),
        (["--data.splits=[1,0,0]"], "without val words: --trainer.limit_val_batches 0"),
        (["--data.splits=[1,0,0]", *MIXED], "chooses its weight on the val words"),
        (["--data.splits=[0,0.5,0.5]"], "three shares that sum to 1"),
    ],
    ids=str,
)
def test_what_is_not_possible_is_one_line_before_the_run(fit, tmp_path, capsys, more, said):
    assert fit("run", *more) == 1
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_all_words_may_be_training_words_from_the_start(fit, tmp_path, word_list: Path):
    assert fit("run", "--data.splits=[1,0,0]", "--trainer.limit_val_batches=0") == 0
    model = load(tmp_path / "run" / "checkpoints" / "last.ckpt")
    data = NamesDataModule(str(word_list), splits=(1, 0, 0))
    assert torch.equal(model.train_hashes, word_hashes(WORDS).unique())
    assert torch.equal(model.train_hashes, data.train_hashes)

"""The command line in-process: what a run leaves behind, what bad input gets."""

import csv
import hashlib
import io
import json
import math
import os
import random
import signal
import subprocess
import sys
from contextlib import redirect_stdout
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import yaml
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from lit_makemore import model as checkpoint
from lit_makemore.cli import main
from lit_makemore.sampling.scoring import score
from lit_makemore.training.datamodule import NamesDataModule
from lit_makemore.training.module import LitMLP
from lit_makemore.words.corpus import word_hash
from tests.conftest import ROOT, WORDS

STEPS = 60
PLAIN = ("--diagnostics.pictures", "false")
BRIEF = ("--diagnostics.enabled", "false", "--trainer.max_steps", "20")


CONFIG = {
    "model": {"n_hidden": 20, "n_layer": 2},
    "trainer": {"max_steps": STEPS, "val_check_interval": 20, "log_every_n_steps": 10},
}


def train(folder: Path, words: Path, *more: str) -> int:
    (folder / "tiny.yaml").write_text(yaml.dump(CONFIG))
    arguments = ["fit", "--config", str(folder / "tiny.yaml"), "--data.path", str(words)]
    arguments += ["--data.batch_size", "16", "--runs_dir", str(folder / "runs")]
    return main([*arguments, "--trainer.accelerator", "cpu", *more])


@pytest.fixture
def fit(tmp_path, word_list):
    """Runs `fit` on 30 words into tmp_path/runs, with more arguments after the usual ones."""
    return partial(train, tmp_path, word_list)


@pytest.fixture
def run(tmp_path) -> Path:
    """Where `fit` leaves its run."""
    return tmp_path / "runs" / "tiny"


def described(folder: Path, *more: str) -> SimpleNamespace:
    words = folder / "words.txt"
    words.write_text("\n".join(WORDS) + "\n")
    with redirect_stdout(io.StringIO()) as printed:
        assert train(folder, words, *more) == 0
    run = folder / "runs" / "tiny"
    return SimpleNamespace(
        folder=run,
        config=str(run / "config.yaml"),
        best=str(run / "checkpoints" / "best.ckpt"),
        summary=summary(run),
        printed=printed.getvalue(),
    )


@pytest.fixture(scope="module")
def usual(tmp_path_factory) -> SimpleNamespace:
    """A usual run, for tests that only read it."""
    return described(tmp_path_factory.mktemp("usual"))


def summary(folder: Path) -> dict:
    return json.loads((folder / "summary.json").read_text())


def updates(folder: Path, name: str) -> int:
    return checkpoint.read(folder / "checkpoints" / f"{name}.ckpt")["global_step"]


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0}).Reload()
    return {
        tag: [(event.step, event.value) for event in events.Scalars(tag)]
        for tag in events.Tags()["scalars"]
    }


def test_a_run_leaves_its_folder(usual):
    assert {p.name for p in usual.folder.iterdir() if not p.name.startswith("events")} == {
        ".lock", "checkpoints", "config.yaml", "samples.txt", "summary.json",
    }  # fmt: skip
    assert {p.name for p in (usual.folder / "checkpoints").iterdir()} == {"best.ckpt", "last.ckpt"}
    found = usual.summary
    expected = "name config params steps batch_size seed wall_s steps_per_s train_loss val_loss"
    expected += " test_loss val_loss_novel test_loss_novel final data versions git_commit"
    assert {*expected.split()} <= found.keys()
    assert (found["name"], found["steps"], found["seed"]) == ("tiny", STEPS, 42)
    assert found["data"]["words"] == 30
    assert found["steps_per_s"] > 0
    assert f"{found['val_loss']:.4f}" in usual.printed
    rows = (usual.folder / "samples.txt").read_text().splitlines()
    assert len(rows) == 20
    assert all(row.split("\t")[0] in usual.printed for row in rows)
    baselines = found["baselines"]
    assert baselines.keys() == {"uniform", "unigram", "bigram", "kneser_ney"}
    for figures in baselines.values():
        assert figures.keys() == {"train", "val", "test", "val_novel", "test_novel"}
    chars = len(set("".join(WORDS))) + 1
    assert baselines["uniform"]["val"] == pytest.approx(math.log(chars))
    assert f"{baselines['kneser_ney']['val']:.4f}" in usual.printed


def test_curves_count_updates(usual):
    curves = scalars(usual.folder)
    every_ten = list(range(10, STEPS + 1, 10))
    for tag in ("7_progress/lr", "7_progress/steps_per_s"):
        assert [step for step, _ in curves[tag]] == every_ten, tag
    assert [step for step, _ in curves["1_losses/train"]] == [1, *every_ten]
    assert [step for step, _ in curves["1_losses/val"]] == [20, 40, 60]
    assert curves["7_progress/lr"][0][1] == pytest.approx(0.1, rel=1e-6)


def test_the_logged_rate_is_the_one_of_the_last_update(fit, run):
    assert fit("--model.lr_milestones", "[10]", *BRIEF) == 0
    rates = dict(scalars(run)["7_progress/lr"])
    assert rates[10] == pytest.approx(0.1)  # updates 1 … 10 were made at the first rate
    assert rates[20] == pytest.approx(0.01)


def test_the_losses_of_the_best_weights_have_a_card(usual):
    events = EventAccumulator(str(usual.folder)).Reload()
    assert "_hparams_/session_start_info" in events.summary_metadata
    for tag, key in (("val", "val_loss"), ("test", "test_loss"), ("val_novel", "val_loss_novel")):
        assert events.Scalars(f"9_best/{tag}")[0].value == pytest.approx(usual.summary[key])


def test_best_and_last_checkpoints_are_what_they_say(fit, run):
    assert fit("--model.lr", "3.0", *PLAIN) == 0  # so that the loss does not just fall
    val = dict(scalars(run)["1_losses/val"])
    assert updates(run, "best") == min(val, key=val.get)
    assert updates(run, "last") == STEPS
    assert summary(run)["val_loss"] == pytest.approx(min(val.values()), rel=1e-5)
    assert summary(run)["final"]["val_loss"] == pytest.approx(val[STEPS], rel=1e-5)


def test_validate_and_test_repeat_the_summary_and_write_nothing(usual, capsys):
    before = {p: p.stat().st_mtime_ns for p in usual.folder.rglob("*")}
    for command, split in (("validate", "val"), ("test", "test")):
        capsys.readouterr()
        assert main([command, "--config", usual.config, "--ckpt_path", usual.best]) == 0
        figures = dict(line.split() for line in capsys.readouterr().out.splitlines())
        expected = usual.summary[f"{split}_loss"]
        assert float(figures[f"{split}/loss"]) == pytest.approx(expected, abs=1e-4)
    assert {p: p.stat().st_mtime_ns for p in usual.folder.rglob("*")} == before


def test_a_runs_own_config_repeats_it_and_its_checkpoint_needs_neither_config_nor_data(
    fit, run, tmp_path, word_list
):
    assert fit(*BRIEF) == 0
    assert main(["fit", "--config", str(run / "config.yaml")]) == 0
    assert summary(run)["final"] == summary(run.with_name("tiny-2"))["final"]
    path = (run / "checkpoints" / "best.ckpt").rename(tmp_path / "alone.ckpt")
    word_list.unlink()
    (run / "config.yaml").unlink()
    x = torch.zeros((1, 3), dtype=torch.int64)
    model = LitMLP.load_from_checkpoint(path).eval()
    assert torch.equal(model(x), checkpoint.load(path).net(x))


def test_later_configs_and_flags_override_earlier_ones(fit, run, tmp_path):
    overlay = tmp_path / "overlay.yaml"
    overlay.write_text("trainer:\n  max_steps: 7\n")
    assert fit("--config", str(overlay), "--model.n_layer", "1", *PLAIN) == 0
    assert summary(run)["steps"] == 7
    entries = checkpoint.read(run / "checkpoints" / "best.ckpt")
    assert entries[checkpoint.KEY]["architecture"]["n_layer"] == 1


@pytest.mark.parametrize(
    ("options", "files"),
    [
        ("logger false", {"checkpoints", "summary.json"}),
        ("enable_checkpointing false", {"summary.json"}),
        ("fast_dev_run 2", set()),
        (
            "limit_train_batches 3 --trainer.limit_val_batches 1 "
            "--trainer.enable_progress_bar false --trainer.num_sanity_val_steps 1",
            {"checkpoints"},
        ),
    ],
)
def test_the_trainers_own_switches_work(fit, tmp_path, options, files):
    assert fit(*PLAIN, "--trainer.max_steps", "20", *f"--trainer.{options}".split()) == 0
    runs = tmp_path / "runs"
    assert runs.exists() == bool(files)
    assert files <= {p.name for p in runs.rglob("*")}
    assert (runs / "tiny" / "checkpoints").exists() == ("checkpoints" in files)


def test_output_that_nobody_reads_any_more_is_no_success(fit, monkeypatch):
    class Closed(io.StringIO):
        def write(self, text):
            if text.startswith("step "):  # the progress line
                raise BrokenPipeError
            return super().write(text)

    monkeypatch.setattr("sys.stderr", Closed())
    monkeypatch.setattr("sys.stdout", sys.stdout)
    assert fit(*PLAIN) == 141


def test_a_signal_ends_a_fit_without_a_folder_too(fit, monkeypatch, capsys):
    setup = NamesDataModule.setup

    def struck(self, stage):
        os.kill(os.getpid(), signal.SIGTERM)
        setup(self, stage)

    monkeypatch.setattr(NamesDataModule, "setup", struck)
    assert fit("--trainer.fast_dev_run", "5") == 143
    assert capsys.readouterr().err.endswith("stopped by SIGTERM at update 0\n")


def test_overfitting_two_batches_drives_their_loss_down(fit, run):
    more = ("--trainer.overfit_batches", "2", "--trainer.max_steps", "300")
    assert fit("--diagnostics.enabled", "false", *more) == 0
    losses = [loss for _, loss in scalars(run)["1_losses/train"]]
    assert losses[-1] < 0.7 < losses[0]


def test_validating_on_a_list_with_another_vocabulary_lists_the_difference(usual, tmp_path, capsys):
    other = tmp_path / "other.txt"
    other.write_text("\n".join(f"{word}é" for word in WORDS if not {*word} & {*"fg"}))
    arguments = ["--config", usual.config, "--data.path", str(other), "--ckpt_path", usual.best]
    assert main(["validate", *arguments]) == 1
    error = capsys.readouterr().err
    assert "only the word list has 'é'" in error
    assert "only the checkpoint has 'f' 'g'" in error


@pytest.mark.parametrize(
    ("command", "missing"), [("validate", "--ckpt_path"), ("predict", "--data.predict_path")]
)
def test_an_option_that_is_needed_is_named(usual, capsys, command, missing):
    given = ["--ckpt_path", usual.best] if command == "predict" else []
    assert main([command, "--config", usual.config, *given]) == 1
    assert missing in capsys.readouterr().err


def sample(run: SimpleNamespace, *more: str) -> int:
    return main(["sample", "--ckpt_path", run.best, *more])


def test_sample_writes_a_file_of_scored_names(usual, tmp_path):
    output = tmp_path / "names.txt"
    more = ["--num", "300", "--seed", "1", "--prefix", "ma", "--scores", "--output", str(output)]
    assert sample(usual, *more) == 0
    rows = [line.split("\t") for line in output.read_text().splitlines()]
    assert len(rows) == 300
    model = checkpoint.load(usual.best)
    scores = score(model.net, model.vocab, 3, [name for name, _, _ in rows]).tolist()
    train = set(model.train_hashes.tolist())
    for (name, log_p, mark), expected in zip(rows, scores, strict=True):
        assert name.startswith("ma")
        assert float(log_p) == pytest.approx(expected, abs=1e-3)
        assert (mark == "train") == (word_hash(name) in train)


def test_names_are_marked_by_where_they_are_and_only_new_ones_are_drawn(tmp_path, capsys):
    """By a network that knows many words by heart."""
    learnt = described(tmp_path, *BRIEF, "--trainer.max_steps", "400")
    draw = ["--num", "2000", "--seed", "1"]
    assert sample(learnt, *draw) == 0
    assert set(capsys.readouterr().out.split()) & set(WORDS)
    assert sample(learnt, *draw, "--only_new") == 0
    new = capsys.readouterr().out.splitlines()
    assert len(new) == 2000
    assert not set(new) & set(WORDS)
    train = set(checkpoint.load(learnt.best).train_hashes.tolist())
    for name in [*WORDS, new[0]]:
        exactly = ["--prefix", name, "--max_length", str(len(name)), "--top_p", "1"]
        assert sample(learnt, *exactly, "--num", "1", "--scores") == 0
        expected = "list" if name in WORDS else "new"
        expected = "train" if word_hash(name) in train else expected
        assert capsys.readouterr().out.split("\t")[::2] == [name, f"{expected}\n"]
    rows = (learnt.folder / "samples.txt").read_text().splitlines()
    for name, mark in (row.split("\t") for row in rows):
        expected = "new" if name not in WORDS else "held out"
        assert mark == ("train" if word_hash(name) in train else expected)


def test_a_network_with_nothing_new_to_say_is_an_error(usual, capsys):
    word = next(w for w in WORDS if word_hash(w) in checkpoint.load(usual.best).train_hashes)
    exactly = ["--prefix", word, "--max_length", str(len(word)), "--top_p", "1"]
    assert sample(usual, *exactly, "--only_new") == 1
    assert "or leave out --only_new" in capsys.readouterr().err


@pytest.mark.slow
def test_names_that_do_not_end_are_counted(usual, tmp_path, capsys):
    draw = ["--num", "5", "--seed", "1", "--scores"]
    assert sample(usual, *draw) == 0
    assert capsys.readouterr().err == ""
    entries = checkpoint.read(usual.best)
    bias = [name for name in entries["state_dict"] if name.endswith("bias")][-1]
    entries["state_dict"][bias][0] = -1000  # the end mark never comes
    checkpoint.write(entries, tmp_path / "endless.ckpt")
    assert main(["sample", "--ckpt_path", str(tmp_path / "endless.ckpt"), *draw]) == 0
    captured = capsys.readouterr()
    assert [row.split("\t")[2] for row in captured.out.splitlines()] == ["cut"] * 5
    assert "where they had not ended: 5; " in captured.err
    assert captured.err.count("\n") == 1


@pytest.mark.slow
@pytest.mark.parametrize("processes", [1, 2])
def test_predict_scores_words_in_order(usual, tmp_path, processes):
    words = ["ada", "zoë", "", "st.john", "emil", "ada", "x"] * 3
    given = tmp_path / "given.txt"
    given.write_text("\n".join(words))
    output = tmp_path / "scores.csv"
    arguments = ["--config", usual.config, "--ckpt_path", usual.best, "--output", str(output)]
    arguments += ["--data.predict_path", str(given), "--trainer.devices", str(processes)]
    command = [sys.executable, "train.py", "predict", *arguments, "--trainer.accelerator", "cpu"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert "words without a score: 9; " in done.stderr

    with output.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["word"] for row in rows] == [word for word in words if word]
    model = checkpoint.load(usual.best)
    for row in rows:
        known = model.vocab.spells(row["word"])
        assert bool(row["log_probability"]) == bool(row["loss_per_char"]) == known
        assert row["in_train"] == str(int(word_hash(row["word"]) in model.train_hashes))
        if known:
            expected = score(model.net, model.vocab, 3, [row["word"]]).item()
            assert float(row["log_probability"]) == pytest.approx(expected, abs=1e-4)
            per_char = -expected / (len(row["word"]) + 1)
            assert float(row["loss_per_char"]) == pytest.approx(per_char, abs=1e-4)


def test_a_list_smaller_than_a_minibatch_is_trained_on(fit, run, capsys):
    whole = ["--data.batch_size", "512", *BRIEF, "--data.sampling"]
    assert fit(*whole, "shuffled", "--name", "all") == 0
    assert "a shuffled minibatch has" in capsys.readouterr().err
    assert fit(*whole, "replacement", "--name", "drawn") == 0
    assert "minibatch" not in capsys.readouterr().err
    sizes = [summary(run.with_name(name))["batch_size"] for name in ("all", "drawn")]
    assert sizes[0] < sizes[1] == 512


@pytest.mark.parametrize("published_list", [False, True])
def test_repeated_words_are_counted_and_said(
    usual, fit, run, capsys, word_list, monkeypatch, published_list
):
    """Of names.txt they stay, and published losses are of it."""
    assert usual.summary["data"]["repeated_words"] == 0
    word_list.write_text(2 * word_list.read_text() + "e\u0301tienne\n")
    if published_list:
        digest = hashlib.sha256(word_list.read_bytes()).hexdigest()
        monkeypatch.setattr("lit_makemore.words.corpus.NAMES_SHA256", digest)
    assert fit(*BRIEF, "--published.val", "2.5", "--published.steps", "100") == 0
    out, err = capsys.readouterr()
    assert ("\npublished " in out) == published_list
    said = [line for line in err.splitlines() if str(word_list) in line]
    assert "61 words, 6 of them in val and 7 in test" in said[0]
    assert len(said) == 2
    assert ("sort -u" in said[1]) != published_list
    words = [*WORDS, *WORDS, "étienne"]
    random.Random(42).shuffle(words)
    known = sum(word in words[:48] for word in words[48:54])
    assert f"repeat an earlier one: 30 of 61; val words that are training words: {known}" in said[1]
    assert summary(run)["data"]["repeated_words"] == 30


def test_a_taken_name_is_an_error_and_a_table_trains_as_the_list_does(fit, run, word_list, capsys):
    assert fit("--name", "list", *BRIEF) == 0
    before = summary(run.with_name("list"))
    assert fit("--name", "list", *BRIEF) == 1
    assert "choose another --name" in capsys.readouterr().err
    rows = "".join(f'k;"{word}"\n' for word in WORDS)
    word_list.write_text("kind;name\n" + rows)
    assert fit("--data.column", "name", "--name", "table", *BRIEF) == 0
    assert summary(run.with_name("list")) == before  # the run there stays
    assert summary(run.with_name("table"))["final"] == before["final"]


@pytest.mark.parametrize(("arguments", "status"), [(["--help"], 0), ([], 2), (["nonsense"], 2)])
def test_the_commands_are_listed(capsys, arguments, status):
    assert main(arguments) == status
    captured = capsys.readouterr()
    for command in ("fit", "validate", "test", "predict", "sample", "export"):
        assert command in captured.out + captured.err


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 8.00 GiB"),
    ],
    ids=["Python", "CPU", "GPU"],
)
def test_too_little_memory_names_the_remedy(monkeypatch, capsys, error):
    def fail():
        """Fails."""
        raise error

    monkeypatch.setattr("lit_makemore.commands.sample.sample", fail)
    assert main(["sample"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: there is not enough memory: use a smaller network")


def test_what_takes_long_to_import_is_imported_where_it_is_used(small_run, tmp_path):
    """And what runs before signals are noted is open to a cluster's early warning."""
    ckpt = small_run() / "checkpoints" / "best.ckpt"
    code = f"""if True:
        import sys
        from lit_makemore.cli import main
        heavy = {{*"torch torch._dynamo lightning torchmetrics matplotlib tensorboard".split()}}
        usual = ["--ckpt_path", {str(ckpt)!r}]
        commands = ["--help"], ["sample", *usual], ["score", *usual, "emma"], ["export", *usual]
        for command in commands:
            main(command)
            print(sorted(heavy & set(sys.modules)))"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, env=environment
    )
    assert [line for line in done.stdout.splitlines() if line.startswith("[")] == [
        "[]",
        *["['torch']"] * 3,
    ], done.stderr

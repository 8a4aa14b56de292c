"""The command line in-process: what a run leaves behind, what bad input gets."""

import csv
import io
import json
import math
import os
import random
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
import torch
import yaml
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from lit_makemore import model as checkpoint
from lit_makemore.cli import main
from lit_makemore.sampling.scoring import score
from lit_makemore.training.module import LitMLP
from lit_makemore.words.corpus import word_hash
from tests.conftest import ROOT, WORDS

STEPS = 60


@pytest.fixture
def fit(tmp_path, word_list):
    """Runs `fit` on 30 words into tmp_path/runs, with more arguments after the usual ones."""

    return partial(train, tmp_path, word_list)


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> str:
    """The best checkpoint of one usual fit, for tests that only read it."""
    folder = tmp_path_factory.mktemp("trained")
    words = folder / "words.txt"
    words.write_text("\n".join(WORDS) + "\n")
    assert train(folder, words) == 0
    return best(folder)


def train(folder: Path, words: Path, *more: str) -> int:
    config = folder / "tiny.yaml"
    config.write_text(
        yaml.dump(
            {
                "data": {"path": str(words), "batch_size": 16},
                "model": {"n_hidden": 20, "n_layer": 2},
                "trainer": {"max_steps": STEPS, "val_check_interval": 20, "log_every_n_steps": 10},
            }
        )
    )
    arguments = ["fit", "--config", str(config), "--runs_dir", str(folder / "runs")]
    return main([*arguments, "--trainer.accelerator", "cpu", *more])


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0}).Reload()
    return {
        tag: [(event.step, event.value) for event in events.Scalars(tag)]
        for tag in events.Tags()["scalars"]
    }


def test_a_run_leaves_its_folder(fit, tmp_path, capsys):
    assert fit() == 0
    folder = tmp_path / "runs" / "tiny"
    assert {p.name for p in folder.iterdir() if not p.name.startswith("events")} == {
        ".lock", "checkpoints", "config.yaml", "samples.txt", "summary.json",
    }  # fmt: skip
    assert {p.name for p in (folder / "checkpoints").iterdir()} == {"best.ckpt", "last.ckpt"}

    summary = json.loads((folder / "summary.json").read_text())
    expected = {
        "name", "config", "params", "steps", "batch_size", "seed", "wall_s", "steps_per_s",
        "train_loss", "val_loss", "test_loss", "val_loss_novel", "test_loss_novel", "final", "data",
        "versions", "git_commit",
    }  # fmt: skip
    assert expected <= summary.keys()
    assert (summary["name"], summary["steps"], summary["seed"]) == ("tiny", STEPS, 42)
    assert summary["data"]["words"] == 30
    assert summary["steps_per_s"] > 0

    printed = capsys.readouterr().out
    assert f"{summary['val_loss']:.4f}" in printed
    names = [line.split("\t")[0] for line in (folder / "samples.txt").read_text().splitlines()]
    assert len(names) == 20
    assert all(name in printed for name in names)


def test_curves_count_updates(fit, tmp_path):
    assert fit() == 0
    curves = scalars(tmp_path / "runs" / "tiny")
    every_ten = list(range(10, STEPS + 1, 10))
    for tag in ("7_progress/lr", "7_progress/steps_per_s"):
        assert [step for step, _ in curves[tag]] == every_ten, tag
    assert [step for step, _ in curves["1_losses/train"]] == [1, *every_ten]
    assert [step for step, _ in curves["1_losses/val"]] == [20, 40, 60]
    assert math.isclose(curves["7_progress/lr"][0][1], 0.1, rel_tol=1e-6)


def test_the_logged_rate_is_the_one_of_the_last_update(fit, tmp_path):
    assert fit("--model.lr_milestones", "[10]") == 0
    rates = dict(scalars(tmp_path / "runs" / "tiny")["7_progress/lr"])
    assert rates[10] == pytest.approx(0.1)  # updates 1 … 10 were made at the first rate
    assert rates[20] == pytest.approx(0.01)


def test_accumulated_gradients_count_as_one_update(fit, tmp_path):
    assert fit("--trainer.accumulate_grad_batches", "2") == 0
    curves = scalars(tmp_path / "runs" / "tiny")
    assert [step for step, _ in curves["1_losses/train"]] == [1, *range(10, STEPS + 1, 10)]
    assert [step for step, _ in curves["1_losses/val"]] == [20, 40, 60]


@pytest.mark.slow
def test_the_last_weights_are_validated_whatever_the_interval(fit, tmp_path):
    assert fit("--trainer.max_steps", "50") == 0
    folder = tmp_path / "runs" / "tiny"
    val = dict(scalars(folder)["1_losses/val"])
    assert list(val) == [20, 40, 50]
    assert checkpoint.load(folder / "checkpoints" / "best.ckpt").global_step == min(
        val, key=val.get
    )


def test_the_losses_of_the_best_weights_are_the_hparams_metrics(fit, tmp_path):
    assert fit() == 0
    folder = tmp_path / "runs" / "tiny"
    events = EventAccumulator(str(folder)).Reload()
    assert {"_hparams_/experiment", "_hparams_/session_start_info"} <= set(events.summary_metadata)
    content = events.summary_metadata["_hparams_/experiment"].plugin_data.content
    summary = json.loads((folder / "summary.json").read_text())
    for tag, key in (("val", "val_loss"), ("test", "test_loss"), ("val_novel", "val_loss_novel")):
        assert f"9_best/{tag}".encode() in content
        assert events.Scalars(f"9_best/{tag}")[0].value == pytest.approx(summary[key])


def test_best_and_last_checkpoints_are_what_they_say(fit, tmp_path):
    assert fit("--model.lr", "3.0") == 0  # so that the loss does not just fall
    folder = tmp_path / "runs" / "tiny"
    val = dict(scalars(folder)["1_losses/val"])
    best, last = (checkpoint.load(folder / "checkpoints" / f"{n}.ckpt") for n in ("best", "last"))
    assert best.global_step == min(val, key=lambda step: val[step])
    assert last.global_step == STEPS
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["val_loss"] == pytest.approx(min(val.values()), rel=1e-5)
    assert summary["final"]["val_loss"] == pytest.approx(val[STEPS], rel=1e-5)


def test_load_from_checkpoint_works_without_config_or_data(fit, tmp_path, word_list):
    assert fit() == 0
    path = tmp_path / "runs" / "tiny" / "checkpoints" / "best.ckpt"
    word_list.unlink()
    model = LitMLP.load_from_checkpoint(path).eval()
    x = torch.zeros((1, 3), dtype=torch.int64)
    assert torch.equal(model(x), checkpoint.load(path).net(x))


def test_validate_and_test_repeat_the_summary_and_write_nothing(fit, tmp_path, capsys):
    assert fit() == 0
    folder = tmp_path / "runs" / "tiny"
    summary = json.loads((folder / "summary.json").read_text())
    before = {p: p.stat().st_mtime_ns for p in folder.rglob("*")}
    for command, split in (("validate", "val"), ("test", "test")):
        capsys.readouterr()
        config, best = str(folder / "config.yaml"), str(folder / "checkpoints" / "best.ckpt")
        assert main([command, "--config", config, "--ckpt_path", best]) == 0
        figures = dict(line.split() for line in capsys.readouterr().out.splitlines())
        assert float(figures[f"{split}/loss"]) == pytest.approx(summary[f"{split}_loss"], abs=1e-4)
    assert {p: p.stat().st_mtime_ns for p in folder.rglob("*")} == before


@pytest.mark.slow
def test_a_runs_own_config_repeats_it(fit, tmp_path):
    assert fit() == 0
    assert main(["fit", "--config", str(tmp_path / "runs" / "tiny" / "config.yaml")]) == 0
    first, second = (
        json.loads((tmp_path / "runs" / name / "summary.json").read_text())
        for name in ("tiny", "tiny-2")
    )
    assert first["final"] == second["final"]


def test_later_configs_and_flags_override_earlier_ones(fit, tmp_path, capsys):
    overlay = tmp_path / "overlay.yaml"
    overlay.write_text("trainer:\n  max_steps: 7\n")
    assert fit("--config", str(overlay), "--model.n_layer", "1") == 0
    summary = json.loads((tmp_path / "runs" / "tiny" / "summary.json").read_text())
    assert summary["steps"] == 7
    architecture = checkpoint.read(tmp_path / "runs" / "tiny" / "checkpoints" / "best.ckpt")
    assert architecture[checkpoint.KEY]["architecture"]["n_layer"] == 1


def test_print_config_prints_a_config(fit, capsys):
    with pytest.raises(SystemExit) as exit_:
        fit("--print_config")
    assert not exit_.value.code
    assert yaml.safe_load(capsys.readouterr().out)["trainer"]["max_steps"] == STEPS


@pytest.mark.parametrize(
    ("arguments", "files"),
    [
        (["--trainer.logger", "false"], {"checkpoints", "summary.json"}),
        (["--trainer.enable_checkpointing", "false"], {"summary.json"}),
        (["--trainer.fast_dev_run", "2"], set()),
        (["--trainer.overfit_batches", "2"], {"checkpoints"}),
        (
            ["--trainer.limit_train_batches", "3", "--trainer.limit_val_batches", "1"],
            {"checkpoints"},
        ),
        (["--trainer.profiler", "simple"], {"checkpoints"}),
        (["--trainer.enable_progress_bar", "false"], {"checkpoints"}),
        (["--trainer.max_steps", "7"], {"checkpoints"}),
        (["--trainer.num_sanity_val_steps", "1"], {"checkpoints"}),
    ],
    ids=lambda value: value[0].removeprefix("--trainer.") if isinstance(value, list) else "",
)
def test_the_trainers_own_switches_work(fit, tmp_path, arguments, files):
    assert fit(*arguments) == 0
    runs = tmp_path / "runs"
    assert runs.exists() == bool(files)
    assert files <= {p.name for p in runs.rglob("*")}
    if "--trainer.enable_checkpointing" in arguments:
        assert not (runs / "tiny" / "checkpoints").exists()


def test_output_that_nobody_reads_any_more_is_no_success(fit, monkeypatch):
    class Closed(io.StringIO):
        def write(self, text):
            if text.startswith("step "):  # the progress line
                raise BrokenPipeError
            return super().write(text)

    monkeypatch.setattr("sys.stderr", Closed())
    monkeypatch.setattr("sys.stdout", sys.stdout)
    assert fit() == 141


def test_a_signal_ends_a_fit_without_a_folder_too(fit, monkeypatch, capsys):
    setup = LitMLP.setup

    def struck(self, stage):
        os.kill(os.getpid(), signal.SIGTERM)
        setup(self, stage)

    monkeypatch.setattr(LitMLP, "setup", struck)
    assert fit("--trainer.fast_dev_run", "5") == 143
    assert capsys.readouterr().err.endswith("stopped by SIGTERM at update 0\n")


@pytest.mark.slow
def test_overfitting_two_batches_drives_their_loss_down(fit, tmp_path):
    assert fit("--trainer.overfit_batches", "2", "--trainer.max_steps", "300") == 0
    losses = [loss for _, loss in scalars(tmp_path / "runs" / "tiny")["1_losses/train"]]
    assert losses[-1] < 0.7 < losses[0]


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["--model.lr", "fast"], 2, "model.lr"),
        (["--model.n_layers", "3"], 2, "n_layers"),
        (["--model.n_layer", "0"], 1, "n_layer must be at least 1, not 0"),
        (["--data.path", "nowhere.txt"], 1, "/nowhere.txt; name a file with one word per line"),
        (["--data.batch_size", "1"], 1, "at least 2 examples on each process"),
        (["--data.batch_size", "0"], 1, "batch_size must be at least 1"),
        (["--name", "../escape"], 1, "plain folder name"),
        (["--seed_everything", "true"], 2, "seed_everything"),
        (["--config", "nowhere.yaml"], 2, "nowhere.yaml"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_use_is_one_line_and_leaves_no_folder(
    fit, tmp_path, capsys, arguments, status, message
):
    try:
        code = fit(*arguments)
    except SystemExit as exit_:
        code = exit_.code
    error = capsys.readouterr().err
    assert code == status
    assert message in error
    assert error.count("\n") == 1
    assert error.startswith("error: ")
    assert not (tmp_path / "runs").exists()


def test_a_taken_name_is_an_error_and_the_run_there_stays(fit, tmp_path, capsys):
    assert fit("--name", "mine") == 0
    before = (tmp_path / "runs" / "mine" / "summary.json").read_bytes()
    assert fit("--name", "mine") == 1
    assert "choose another --name" in capsys.readouterr().err
    assert (tmp_path / "runs" / "mine" / "summary.json").read_bytes() == before


def test_validating_on_a_list_with_another_vocabulary_lists_the_difference(fit, tmp_path, capsys):
    assert fit() == 0
    other = tmp_path / "other.txt"
    other.write_text("\n".join(f"{word}é" for word in ["anna", "bert", "carl", "dora"] * 5))
    folder = tmp_path / "runs" / "tiny"
    arguments = ["--config", str(folder / "config.yaml"), "--data.path", str(other)]
    assert main(["validate", *arguments, "--ckpt_path", str(folder / "checkpoints/best.ckpt")]) == 1
    error = capsys.readouterr().err
    assert "only the word list has 'é'" in error
    assert "only the checkpoint has 'f' 'g'" in error


def test_validate_without_a_checkpoint_is_an_error(fit, tmp_path, capsys):
    assert fit() == 0
    assert main(["validate", "--config", str(tmp_path / "runs/tiny/config.yaml")]) == 1
    assert "--ckpt_path" in capsys.readouterr().err


def test_sample_prints_repeatable_names(fit, tmp_path, capsys):
    assert fit() == 0
    path = str(tmp_path / "runs" / "tiny" / "checkpoints" / "best.ckpt")
    printed = []
    for seed in ("1", "1", "2"):
        capsys.readouterr()
        assert main(["sample", "--ckpt_path", path, "--num", "20", "--seed", seed]) == 0
        printed.append(capsys.readouterr().out)
    assert len(printed[0].splitlines()) == 20
    assert printed[0] == printed[1] != printed[2]


def best(tmp_path) -> str:
    return str(tmp_path / "runs" / "tiny" / "checkpoints" / "best.ckpt")


def test_sample_writes_a_file_of_scored_names(fit, tmp_path, capsys):
    assert fit() == 0
    output = tmp_path / "names.txt"
    arguments = ["--ckpt_path", best(tmp_path), "--num", "300", "--seed", "1", "--prefix", "ma"]
    assert main(["sample", *arguments, "--scores", "--output", str(output)]) == 0
    rows = [line.split("\t") for line in output.read_text().splitlines()]
    assert len(rows) == 300
    model = checkpoint.load(best(tmp_path))
    scores = score(model.net, model.vocab, 3, [name for name, _, _ in rows]).tolist()
    train = set(model.train_hashes.tolist())
    for (name, log_p, mark), expected in zip(rows, scores, strict=True):
        assert name.startswith("ma")
        assert float(log_p) == pytest.approx(expected, abs=1e-3)
        assert (mark == "train") == (word_hash(name) in train)


def test_only_new_names_leaves_out_the_training_words(fit, tmp_path, capsys):
    assert fit("--trainer.max_steps", "400") == 0  # long enough to know many by heart
    capsys.readouterr()
    draw = ["sample", "--ckpt_path", best(tmp_path), "--num", "2000", "--seed", "1"]
    assert main(draw) == 0
    plain = capsys.readouterr().out.split()
    assert set(plain) & set(WORDS)
    assert main([*draw, "--only_new"]) == 0
    new = capsys.readouterr().out.splitlines()
    assert len(new) == 2000
    train = set(checkpoint.load(best(tmp_path)).train_hashes.tolist())
    assert not {word_hash(name) for name in new} & train


def test_a_network_with_nothing_new_to_say_is_an_error(fit, tmp_path, capsys):
    assert fit() == 0
    word = next(w for w in WORDS if word_hash(w) in checkpoint.load(best(tmp_path)).train_hashes)
    arguments = ["--prefix", word, "--max_length", str(len(word)), "--only_new"]
    assert main(["sample", "--ckpt_path", best(tmp_path), *arguments]) == 1
    assert "leave out --only_new" in capsys.readouterr().err


@pytest.mark.slow
def test_names_that_do_not_end_are_counted(fit, tmp_path, capsys):
    assert fit() == 0
    capsys.readouterr()
    usual = ["--ckpt_path", best(tmp_path), "--num", "5", "--seed", "1", "--scores"]
    assert main(["sample", *usual]) == 0
    assert capsys.readouterr().err == ""
    entries = checkpoint.read(best(tmp_path))
    bias = [name for name in entries["state_dict"] if name.endswith("bias")][-1]
    entries["state_dict"][bias][0] = -1000  # the end mark never comes
    checkpoint.write(entries, best(tmp_path))
    assert main(["sample", *usual]) == 0
    captured = capsys.readouterr()
    assert [row.split("\t")[2] for row in captured.out.splitlines()] == ["cut"] * 5
    assert "5 names were cut at " in captured.err
    assert captured.err.count("\n") == 1


def test_a_prefix_in_the_wrong_case_says_so(trained, capsys):
    capsys.readouterr()
    assert main(["sample", "--ckpt_path", trained, "--prefix", "Emma"]) == 1
    expected = "error: the training words are lower-case; use --prefix emma, not Emma\n"
    assert capsys.readouterr().err == expected


@pytest.mark.parametrize(
    "arguments",
    [
        ["--temperature", "0"],
        ["--top_k", "0"],
        ["--top_p", "0"],
        ["--top_p", "1.5"],
        ["--prefix", "é"],
        ["--num", "0"],
        ["--max_length", "0"],
    ],
    ids=" ".join,
)
def test_bad_sampling_options_are_one_line(trained, capsys, arguments):
    capsys.readouterr()
    assert main(["sample", "--ckpt_path", trained, *arguments]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error: ")
    assert captured.err.count("\n") == 1


@pytest.mark.slow
@pytest.mark.parametrize("processes", [1, 2])
def test_predict_scores_words_in_order(fit, tmp_path, processes):
    assert fit() == 0
    words = ["ada", "zoë", "", "st.john", "emil", "ada", "x"] * 3
    given = tmp_path / "given.txt"
    given.write_text("\n".join(words))
    output = tmp_path / "scores.csv"
    config = str(tmp_path / "runs" / "tiny" / "config.yaml")
    arguments = ["--config", config, "--ckpt_path", best(tmp_path), "--output", str(output)]
    arguments += ["--data.predict_path", str(given), "--trainer.devices", str(processes)]
    command = [sys.executable, "train.py", "predict", *arguments, "--trainer.accelerator", "cpu"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert "9 words have no score" in done.stderr

    with output.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["word"] for row in rows] == [word for word in words if word]
    model = checkpoint.load(best(tmp_path))
    for row in rows:
        known = model.vocab.spells(row["word"])
        assert bool(row["log_probability"]) == bool(row["loss_per_char"]) == known
        assert row["in_train"] == str(int(word_hash(row["word"]) in model.train_hashes))
        if known:
            expected = score(model.net, model.vocab, 3, [row["word"]]).item()
            assert float(row["log_probability"]) == pytest.approx(expected, abs=1e-4)
            per_char = -expected / (len(row["word"]) + 1)
            assert float(row["loss_per_char"]) == pytest.approx(per_char, abs=1e-4)


def test_predict_without_words_says_which_option(fit, tmp_path, capsys):
    assert fit() == 0
    config = str(tmp_path / "runs" / "tiny" / "config.yaml")
    assert main(["predict", "--config", config, "--ckpt_path", best(tmp_path)]) == 1
    assert "--data.predict_path" in capsys.readouterr().err


def test_the_summary_has_the_baselines(fit, tmp_path, capsys):
    assert fit() == 0
    summary = json.loads((tmp_path / "runs" / "tiny" / "summary.json").read_text())
    assert summary["baselines"].keys() == {"uniform", "unigram", "bigram", "kneser_ney"}
    for figures in summary["baselines"].values():
        assert figures.keys() == {"train", "val", "test", "val_novel", "test_novel"}
    chars = len(set("".join(WORDS))) + 1
    assert summary["baselines"]["uniform"]["val"] == pytest.approx(math.log(chars))
    assert f"{summary['baselines']['kneser_ney']['val']:.4f}" in capsys.readouterr().out


def test_a_list_smaller_than_a_minibatch_is_trained_on(fit, tmp_path, capsys):
    whole = ["--data.batch_size", "512", "--data.sampling"]
    assert fit(*whole, "shuffled", "--name", "all") == 0
    assert "a shuffled minibatch has" in capsys.readouterr().err
    assert fit(*whole, "replacement", "--name", "drawn") == 0
    assert "minibatch" not in capsys.readouterr().err
    sizes = [
        json.loads((tmp_path / "runs" / name / "summary.json").read_text())["batch_size"]
        for name in ("all", "drawn")
    ]
    assert sizes[0] < sizes[1] == 512


def test_repeated_words_are_counted_and_said(fit, tmp_path, capsys, word_list):
    assert fit("--name", "once") == 0
    assert "repeat" not in capsys.readouterr().err
    word_list.write_text(2 * word_list.read_text() + "e\u0301tienne\n")
    assert fit("--name", "twice") == 0
    said = [line for line in capsys.readouterr().err.splitlines() if str(word_list) in line]
    assert len(said) == 2
    assert "1 words are read in Unicode's normal form" in said[0]
    words = [*WORDS, *WORDS, "étienne"]
    random.Random(42).shuffle(words)
    known = sum(word in words[:48] for word in words[48:54])
    assert f"30 of 61 words repeat an earlier one, and {known} of 6 val words are" in said[1]
    found = [
        json.loads((tmp_path / "runs" / name / "summary.json").read_text())["data"]
        for name in ("once", "twice")
    ]
    assert [data["repeated_words"] for data in found] == [0, 30]


def test_a_column_of_a_table_trains_as_the_list_does(fit, tmp_path, word_list):
    quick = ("--diagnostics.enabled", "false", "--trainer.max_steps", "20")
    assert fit("--name", "list", *quick) == 0
    rows = "".join(f'k;"{word}"\n' for word in WORDS)
    word_list.write_text("kind;name\n" + rows)
    assert fit("--data.column", "name", "--name", "table", *quick) == 0
    found = [
        json.loads((tmp_path / "runs" / name / "summary.json").read_text())["final"]
        for name in ("list", "table")
    ]
    assert found[0] == found[1]


def test_sampled_names_are_marked_by_where_their_words_are(fit, tmp_path):
    assert fit("--trainer.max_steps", "400") == 0
    rows = (tmp_path / "runs" / "tiny" / "samples.txt").read_text().splitlines()
    train = set(checkpoint.load(best(tmp_path)).train_hashes.tolist())
    for name, mark in (row.split("\t") for row in rows):
        expected = "new" if name not in WORDS else "held out"
        assert mark == ("train" if word_hash(name) in train else expected)


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
    def fail(args, begun):
        raise error

    monkeypatch.setattr("lit_makemore.commands.sample.run", fail)
    assert main(["sample"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: there is not enough memory: use a smaller network")


def test_help_and_sample_do_not_import_lightning():
    code = "import sys; from lit_makemore.cli import main; main(sys.argv[1:]); "
    code += "print(sorted({'lightning', 'torch'} & set(sys.modules)))"

    def imported(*arguments: str) -> str:
        command = [sys.executable, "-c", code, *arguments]
        return subprocess.run(command, capture_output=True, text=True, cwd=ROOT).stdout

    assert imported("--help").splitlines()[-1] == "[]"
    assert imported("sample", "--ckpt_path", "none").splitlines()[-1] == "['torch']"

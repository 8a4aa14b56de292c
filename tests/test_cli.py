"""The command line in-process: what a run leaves behind, what bad input gets."""

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from lit_makemore import checkpoint
from lit_makemore.cli import main
from lit_makemore.module import LitMLP
from tests.conftest import ROOT

STEPS = 60


@pytest.fixture
def fit(tmp_path, word_list):
    """Runs `fit` on 30 words into tmp_path/runs, with more arguments after the usual ones."""

    def run(*more: str) -> int:
        config = tmp_path / "tiny.yaml"
        config.write_text(
            yaml.dump(
                {
                    "data": {"path": str(word_list), "batch_size": 16},
                    "model": {"n_hidden": 20, "n_layer": 2},
                    "trainer": {
                        "max_steps": STEPS,
                        "val_check_interval": 20,
                        "log_every_n_steps": 10,
                    },
                }
            )
        )
        arguments = ["fit", "--config", str(config), "--runs_dir", str(tmp_path / "runs")]
        return main([*arguments, "--trainer.accelerator", "cpu", *more])

    return run


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
    names = (folder / "samples.txt").read_text().splitlines()
    assert len(names) == 20
    assert all(name in printed for name in names)


def test_curves_count_updates(fit, tmp_path):
    assert fit() == 0
    curves = scalars(tmp_path / "runs" / "tiny")
    every_ten = list(range(10, STEPS + 1, 10))
    for tag in ("train/loss", "lr", "steps_per_s"):
        assert [step for step, _ in curves[tag]] == every_ten, tag
    assert [step for step, _ in curves["val/loss"]] == [20, 40, 60]
    assert math.isclose(curves["lr"][0][1], 0.1, rel_tol=1e-6)


def test_the_logged_rate_is_the_one_of_the_last_update(fit, tmp_path):
    assert fit("--model.lr_milestones", "[10]") == 0
    rates = dict(scalars(tmp_path / "runs" / "tiny")["lr"])
    assert rates[10] == pytest.approx(0.1)  # updates 1 … 10 were made at the first rate
    assert rates[20] == pytest.approx(0.01)


def test_val_loss_is_the_hparams_metric(fit, tmp_path):
    assert fit() == 0
    events = EventAccumulator(str(tmp_path / "runs" / "tiny")).Reload()
    assert {"_hparams_/experiment", "_hparams_/session_start_info"} <= set(events.summary_metadata)
    content = events.summary_metadata["_hparams_/experiment"].plugin_data.content
    assert b"val/loss" in content


def test_best_and_last_checkpoints_are_what_they_say(fit, tmp_path):
    assert fit("--model.lr", "3.0") == 0  # so that the loss does not just fall
    folder = tmp_path / "runs" / "tiny"
    val = dict(scalars(folder)["val/loss"])
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


def test_overfitting_two_batches_drives_their_loss_down(fit, tmp_path):
    assert fit("--trainer.overfit_batches", "2", "--trainer.max_steps", "300") == 0
    losses = [loss for _, loss in scalars(tmp_path / "runs" / "tiny")["train/loss"]]
    assert losses[-1] < 0.7 < losses[0]


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["--model.lr", "fast"], 2, "model.lr"),
        (["--model.n_layers", "3"], 2, "n_layers"),
        (["--model.n_layer", "0"], 1, "n_layer must be at least 1, not 0"),
        (["--data.path", "nowhere.txt"], 1, "no word list at nowhere.txt"),
        (["--data.batch_size", "9999"], 1, "exceeds the"),
        (["--trainer.precision", "16-mixed"], 1, "on this CPU use bf16-mixed"),
        (["--trainer.max_steps", "-1"], 1, "set --trainer.max_steps"),
        (["--name", "../escape"], 1, "plain folder name"),
        (["--threads", "0"], 1, "--threads must be at least 1"),
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


@pytest.mark.parametrize(("arguments", "status"), [(["--help"], 0), ([], 2), (["nonsense"], 2)])
def test_the_commands_are_listed(capsys, arguments, status):
    assert main(arguments) == status
    captured = capsys.readouterr()
    for command in ("fit", "validate", "test", "sample"):
        assert command in captured.out + captured.err


def test_help_and_sample_do_not_import_lightning():
    code = "import sys; from lit_makemore.cli import main; main(sys.argv[1:]); "
    code += "print(sorted({'lightning', 'torch'} & set(sys.modules)))"

    def imported(*arguments: str) -> str:
        command = [sys.executable, "-c", code, *arguments]
        return subprocess.run(command, capture_output=True, text=True, cwd=ROOT).stdout

    assert imported("--help").splitlines()[-1] == "[]"
    assert imported("sample", "--ckpt_path", "none").splitlines()[-1] == "['torch']"

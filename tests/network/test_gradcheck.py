from copy import deepcopy

import pytest
import torch

from lit_makemore.cli import main
from lit_makemore.network import backprop
from lit_makemore.network.gradcheck import compare, table
from tests.conftest import ROOT


def test_equal_gradients_are_exact():
    line = compare("x", torch.ones(2, 3), torch.ones(2, 3))
    assert (line.exact, line.approximate, line.agrees) == (True, True, True)
    assert (line.max_difference, line.relative_error, line.shape) == (0, 0, (2, 3))


@pytest.mark.parametrize(("difference", "agrees"), [(1e-13, True), (1e-11, False)])
def test_the_tolerance_is_relative_to_the_norm(difference, agrees):
    theirs = torch.full((10,), 5.0, dtype=torch.float64)
    assert compare("x", theirs * (1 + difference), theirs).agrees == agrees


def test_the_table_says_why_a_vanishing_gradient_agrees():
    theirs = torch.full((3,), 1e-17, dtype=torch.float64)
    line = compare("b1", -theirs, theirs)
    assert line.agrees
    assert line.relative_error == 2
    (row,) = table([line]).splitlines()[1:]
    assert row.endswith("–   zero up to rounding: compared by difference")


def test_rounding_may_explain_a_difference_where_terms_cancel():
    theirs = torch.full((3,), 1e-3, dtype=torch.float64)
    assert not compare("x", theirs + 1e-9, theirs).agrees
    assert not compare("x", theirs + 1e-9, theirs, rounding=1e-10).agrees
    line = compare("x", theirs + 1e-9, theirs, rounding=1e-8)
    assert line.agrees
    assert line.remark == "terms cancel: rounding explains a difference of 1.0e-08"


def test_another_shape_or_precision_disagrees():
    assert not compare("x", torch.ones(1, 3), torch.ones(3)).agrees
    assert not compare("x", torch.ones(3).double(), torch.ones(3)).agrees


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_the_command_checks_the_lectures_exercise(capsys, dtype):
    assert main(["gradcheck", "--dtype", dtype]) == 0
    printed = capsys.readouterr().out
    assert "4,137 parameters" in printed
    assert "28 gradients: all agree" in printed
    rows = {line.split()[0] for line in printed.splitlines() if line}
    assert set(backprop.INTERMEDIATES) <= rows


def test_the_command_fails_when_a_gradient_is_wrong(capsys, monkeypatch):
    right = backprop.backward
    monkeypatch.setattr(backprop, "backward", lambda *a: {**right(*a), "W1": right(*a)["W1"] * 2})
    assert main(["gradcheck"]) == 1
    printed = capsys.readouterr().out
    assert "1 disagree" in printed
    (marked,) = [row for row in printed.splitlines() if "DISAGREES" in row]
    assert marked.startswith("W1")


def test_the_command_checks_the_fold_if_there_is_one(capsys, monkeypatch, tmp_path):
    config = tmp_path / "c.yaml"
    config.write_text("data: {path: data/names_small.txt}\nmodel: {n_layer: 1}\n")
    monkeypatch.setattr("lit_makemore.network.fold.fold", lambda net: deepcopy(net).train())
    assert main(["gradcheck", "--config", str(config)]) == 1
    assert "2 outputs: 2 disagree" in capsys.readouterr().out
    config.write_text("data: {path: data/names_small.txt}\nmodel: {batch_norm: false}\n")
    assert main(["gradcheck", "--config", str(config)]) == 0
    assert "folded" not in capsys.readouterr().out


def test_the_command_takes_a_config_and_a_checkpoint(capsys, tmp_path):
    config = tmp_path / "c.yaml"
    words = ROOT / "data" / "names_small.txt"
    config.write_text(
        f"data: {{path: {words}, block_size: 4}}\n"
        "model: {n_layer: 2, activation: relu, logits_batch_norm: true}\n"
        "trainer: {max_steps: 3}\n"
    )
    assert main(["gradcheck", "--config", str(config)]) == 0
    printed = capsys.readouterr().out
    assert printed.count("all agree") == 3  # training and evaluation mode; folded
    assert "output of ReLU 2" in printed
    assert "3 outputs: all agree" in printed

    assert main(["fit", "--config", str(config), "--runs_dir", str(tmp_path / "runs")]) == 0
    capsys.readouterr()
    best = tmp_path / "runs" / "c" / "checkpoints" / "best.ckpt"
    assert main(["gradcheck", "--checkpoint", str(best)]) == 0
    assert capsys.readouterr().out.count("all agree") == 3
    assert main(["gradcheck", "--checkpoint", str(best), "--config", str(config)]) == 0
    assert capsys.readouterr().out.count("all agree") == 3


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["--batch_size", "1"], 1, "--batch_size 2 at least"),
        (["--dtype", "float16"], 2, "dtype"),
        (["--config", "none.yaml"], 2, "none.yaml"),
        (["--checkpoint", "none.ckpt"], 1, "no checkpoint at"),
        (["--config", "README.md"], 2, "parsing config"),
    ],
)
def test_bad_use_is_one_line(capsys, arguments, status, message):
    try:
        code = main(["gradcheck", *arguments])
    except SystemExit as exit_:
        code = exit_.code
    error = capsys.readouterr().err
    assert code == status
    assert message in error
    assert error.count("\n") == 1

import pytest
import torch
import yaml

from lit_makemore.cli import main
from lit_makemore.network import backprop, fold
from lit_makemore.network.gradcheck import compare, table


def test_equal_gradients_are_exact_and_others_agree_relative_to_their_norm():
    line = compare("x", torch.ones(2, 3), torch.ones(2, 3))
    assert (line.exact, line.approximate, line.agrees) == (True, True, True)
    assert (line.max_difference, line.relative_error, line.shape) == (0, 0, (2, 3))
    theirs = torch.full((10,), 5.0, dtype=torch.float64)
    assert compare("x", theirs * (1 + 1e-13), theirs).agrees
    assert not compare("x", theirs * (1 + 1e-11), theirs).agrees
    assert not compare("x", torch.ones(1, 3), torch.ones(3)).agrees  # another shape
    assert not compare("x", torch.ones(3).double(), torch.ones(3)).agrees  # another precision


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


@pytest.fixture
def config(tmp_path, word_list):
    """Writes a configuration with these options of the model; its words have all letters."""
    word_list.write_text(word_list.read_text() + "quiz\nwaxy\n")

    def written(**options) -> list[str]:
        path = tmp_path / "c.yaml"
        data, model = {"path": str(word_list), "block_size": 4}, {"n_hidden": 10, **options}
        path.write_text(yaml.safe_dump({"data": data, "model": model}))
        return ["gradcheck", "--config", str(path)]

    return written


def test_the_command_checks_the_fold_if_there_is_one(capsys, monkeypatch, config):
    right = fold.fold
    monkeypatch.setattr(fold, "fold", lambda net: right(net).float().double())
    assert main(config(n_layer=1)) == 1
    assert "2 outputs: 2 disagree" in capsys.readouterr().out
    assert main(config(norm="none")) == 0
    assert "folded" not in capsys.readouterr().out


def test_the_command_takes_a_config_and_a_checkpoint(capsys, config, tmp_path):
    command, flag, path = config(n_layer=2, activation="relu", logits_batch_norm=True)
    assert main([command, flag, path]) == 0
    printed = capsys.readouterr().out
    assert printed.count("all agree") == 3  # training and evaluation mode; folded
    assert "\nhidden1/relu " in printed
    assert "\nhidden1/linear/weight " in printed
    assert "3 outputs: all agree" in printed

    usual = ["--trainer.max_steps", "3", "--diagnostics.enabled", "false"]
    assert main(["fit", flag, path, "--runs_dir", str(tmp_path), "--name", "run", *usual]) == 0
    best = str(tmp_path / "run" / "checkpoints" / "best.ckpt")
    for more in ([], [flag, path]):
        capsys.readouterr()
        assert main([command, "--ckpt_path", best, *more]) == 0
        assert capsys.readouterr().out.count("all agree") == 3


def test_bad_use_is_one_line(capsys):
    assert main(["gradcheck", "--batch_size", "1"]) == 1
    assert "--batch_size 2 at least" in capsys.readouterr().err
    assert main(["gradcheck", "--ckpt_path", "none.ckpt"]) == 1
    assert "no checkpoint at" in capsys.readouterr().err

"""Layers of torch.nn by their names on the command line: trained, looked into, sampled, resumed."""

import json

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from lit_makemore.cli import main
from lit_makemore.model import load

OTHER = ["--model.activation", "torch.nn.GELU", "--model.norm", "torch.nn.RMSNorm"]


@pytest.fixture
def fit(tmp_path, word_list):
    usual = f"fit --data.path {word_list} --runs_dir {tmp_path} --name run --data.batch_size 16"
    usual += " --model.n_hidden 8 --model.n_layer 2 --trainer.accelerator cpu --threads 1"
    usual += " --diagnostics.every_n_steps 10"
    return lambda *more: main([*usual.split(), *more])


def test_other_layers_do_what_layers_do(fit, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert fit(*OTHER, "--trainer.max_steps", "20") == 0
    assert "RMSNorm has no native step" in capsys.readouterr().err
    run = tmp_path / "run"
    assert json.loads((run / "summary.json").read_text())["health"]["nan"] == "ok"
    tags = EventAccumulator(str(run)).Reload().Tags()["scalars"]
    assert any(tag.endswith("std/hidden1/gelu") for tag in tags)
    assert not any("saturated" in tag for tag in tags)  # it is flat at one end only
    assert fit(*OTHER, "--trainer.max_steps", "30", "--resume", "true") == 0
    ckpt = str(run / "checkpoints" / "last.ckpt")
    layers = [type(layer).__name__ for layer in load(ckpt).net.layers]
    assert layers == [*["Linear", "RMSNorm", "GELU"] * 2, "Linear"]
    for command in ("sample --num 2", "score emma"):
        assert main([*command.split(), "--ckpt_path", ckpt]) == 0
    capsys.readouterr()
    assert main(["export", "--ckpt_path", ckpt]) == 1
    assert "a page cannot compute RMSNorm, nor can the Python file" in capsys.readouterr().err
    assert not (tmp_path / "last.html").exists()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        *(
            (
                ["--model.activation", name],
                "activation is tanh, relu, linear, or a class of torch.nn",
            )
            for name in ("gelu", "GELU", "torch.nn.GLU", "torch.nn.Linear", "torch.nn.Module")
        ),
        *(
            (["--model.norm", name], "norm is batch, layer, none, or a class of torch.nn")
            for name in ("true", "torch.nn.GroupNorm", "torch.nn.init", "os.system", "torch.nn.")
        ),
        ([*OTHER, "--model.engine", "native"], "RMSNorm has no native step"),
        ([*OTHER[:2], "--model.engine", "manual"], "GELU has no derivative written by hand"),
    ],
)
def test_what_is_no_layer_is_one_line(fit, tmp_path, capsys, more, message):
    assert fit(*more, "--trainer.max_steps", "20") == 1
    *_, line = capsys.readouterr().err.splitlines()
    assert message in line
    assert not (tmp_path / "run").exists()

"""The commands on a CPU, a pretended GPU and a GPU: the same tests on all."""

import pytest
import torch

pytest.importorskip("jsonargparse")  # not on every machine with a GPU

from lit_makemore.cli import main
from tests.devices import ACCELERATOR, WHERE, device_of
from tests.same_run import differences

USUAL = (
    "--data.batch_size 16 --model.n_hidden 10 --model.n_layer 2 --model.dropout 0.1 --threads 1 "
    "--trainer.val_check_interval 10 --trainer.log_every_n_steps 5 --diagnostics.every_n_steps 7 "
    "--model.engine autograd --trainer.devices 1"
).split()


@pytest.fixture(autouse=True)
def _there(request, monkeypatch):
    with device_of(request, monkeypatch):
        yield


@pytest.fixture
def options(word_list, tmp_path):
    """The options of a small run; the rest goes after them."""
    threads = torch.get_num_threads()

    def arguments(device: str, precision: str = "32-true") -> list[str]:
        where = ["--trainer.accelerator", ACCELERATOR[device], "--trainer.precision", precision]
        return ["--data.path", str(word_list), *USUAL, *where, "--runs_dir", str(tmp_path)]

    yield arguments
    torch.set_num_threads(threads)


@pytest.mark.slow
@pytest.mark.parametrize(("device", "precision"), WHERE)
def test_every_command_works(options, tmp_path, word_list, capsys, device, precision):
    usual = options(device, precision)
    assert main(["fit", *usual, "--name", "run", "--trainer.max_steps", "30"]) == 0
    assert "health" in capsys.readouterr().out
    for name in ("best", "last"):
        read = ["--ckpt_path", str(tmp_path / "run" / "checkpoints" / f"{name}.ckpt")]
        for command, key in (("validate", "val/loss "), ("test", "test/loss ")):
            assert main([command, *usual, *read]) == 0
            lines = capsys.readouterr().out.splitlines()
            (loss,) = (float(line.split()[1]) for line in lines if line.startswith(key))
            assert 1 < loss < 5
        assert main(["predict", *usual, *read, "--data.predict_path", str(word_list)]) == 0
        assert len(capsys.readouterr().out.splitlines()) == 31
        assert main(["sample", *read, "--num", "5", "--seed", "1"]) == 0
        assert len(capsys.readouterr().out.splitlines()) == 5


@pytest.mark.slow
@pytest.mark.parametrize(("device", "precision"), WHERE)
def test_a_longer_run_goes_on_from_a_shorter_one(options, tmp_path, device, precision):
    usual = options(device, precision)
    assert main(["fit", *usual, "--name", "whole", "--trainer.max_steps", "40"]) == 0
    part = ["fit", *usual, "--name", "parts", "--trainer.max_steps"]
    assert main([*part, "20"]) == 0
    assert main([*part, "40", "--resume", "true"]) == 0
    assert differences(tmp_path / "parts", tmp_path / "whole") == []

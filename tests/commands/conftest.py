"""One run that the tests of several commands share."""

from pathlib import Path

import pytest

from lit_makemore.cli import main
from lit_makemore.model import NameModel, load
from tests.conftest import WORDS


@pytest.fixture(scope="session")
def trained(tmp_path_factory) -> Path:
    """A folder with words.txt and runs/run, a network mixed with counts. No test changes it."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "words.txt").write_text("\n".join(WORDS) + "\n")
    arguments = ["fit", "--data.path", str(folder / "words.txt"), "--data.batch_size", "16"]
    arguments += ["--runs_dir", str(folder / "runs"), "--name", "run", "--trainer.max_steps", "40"]
    arguments += ["--model.n_hidden", "16", "--model.count_mixture", "true"]
    assert main([*arguments, "--trainer.accelerator", "cpu"]) == 0
    return folder


@pytest.fixture(scope="session")
def ckpt(trained) -> str:
    """The checkpoint of this run."""
    return str(trained / "runs" / "run" / "checkpoints" / "last.ckpt")


@pytest.fixture
def model(ckpt) -> NameModel:
    """What is in it."""
    return load(ckpt)

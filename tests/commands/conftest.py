"""One network, mixed with counts, that the tests of several commands share."""

import pytest

from lit_makemore.model import NameModel, load


@pytest.fixture(scope="session")
def ckpt(small_run) -> str:
    """Its checkpoint, which no test changes."""
    run = small_run("--model.n_hidden", "16", "--model.count_mixture", "true")
    return str(run / "checkpoints" / "last.ckpt")


@pytest.fixture
def model(ckpt) -> NameModel:
    """What is in it."""
    return load(ckpt)

"""Shared fixtures: a small word list, and a check that a test leaves nothing behind."""

import os
import signal
import sys
from contextlib import redirect_stderr, redirect_stdout, suppress
from copy import deepcopy
from functools import cache
from io import StringIO
from pathlib import Path

import pytest
import torch

# What Lightning's command line uses of jsonargparse 4.53. A filter in pyproject.toml would import
# jsonargparse, which a machine with a GPU may lack.
os.environ["JSONARGPARSE_DEPRECATION_WARNINGS"] = "off"

with suppress(ImportError):  # likewise
    from hypothesis import HealthCheck, settings

    # an example may take long: the machine may be slow and busy
    patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.register_profile("patient", patient)
    settings.load_profile("patient")

ROOT = Path(__file__).parent.parent
NAMES = ROOT / "data" / "names.txt"

WORDS = """
ada alma anton arlo bela bruno clara dario edda elias emil fina greta hugo ida
ines jonas karla leni lina luis mara milo nora oskar paula rosa selma timo vera
""".split()

needs_names = pytest.mark.skipif(
    not NAMES.exists(), reason="data/names.txt is not there; any fit on it fetches it"
)


@pytest.fixture(scope="session")
def ckpt(small_run) -> str:
    """The checkpoint of a small run, for tests that only read it."""
    return str(small_run() / "checkpoints" / "last.ckpt")


@pytest.fixture(scope="session")
def cluster(tmp_path_factory):
    """A real SLURM on this machine."""
    from tests.slurm_cluster import running

    folder = tmp_path_factory.mktemp("slurm")
    with running(folder, grace=20, KillWait=20, JobFileAppend=1) as cluster:
        yield cluster


def pytest_configure() -> None:
    """One thread, in what a test starts too: each core has a worker of pytest-xdist."""
    os.environ["OMP_NUM_THREADS"] = "1"


@pytest.fixture
def word_list(tmp_path: Path) -> Path:
    """A file of 30 words."""
    path = tmp_path / "words.txt"
    path.write_text("\n".join(WORDS) + "\n")
    return path


@pytest.fixture(scope="session")
def small_run(tmp_path_factory):
    """`small_run(*options)`: the folder of a fit on 30 words, trained once; do not write there."""
    from lit_makemore.cli import main

    @cache
    def trained(*options: str) -> Path:
        folder = tmp_path_factory.mktemp("small")
        (folder / "words.txt").write_text("\n".join(WORDS) + "\n")
        arguments = f"fit --data.path {folder}/words.txt --runs_dir {folder} --name run".split()
        arguments += "--data.batch_size 16 --model.n_embd 4 --model.n_hidden 8".split()
        arguments += "--model.n_layer 2 --trainer.max_steps 60 --trainer.accelerator cpu".split()
        arguments += "--diagnostics.enabled false --threads 1".split()
        with redirect_stdout(StringIO()), redirect_stderr(StringIO()) as said:
            status = main([*arguments, *options])
        assert status == 0, said.getvalue()
        return folder / "run"

    return trained


@pytest.fixture
def sigterm_after(monkeypatch):
    """`sigterm_after(n)`: SIGTERM comes with the n-th update of all fits; the updates so far."""
    from lit_makemore.runs.checkpoints import Checkpoints

    hook, updates = Checkpoints.on_train_batch_end, []

    def sigterm_after(n: int) -> list[int]:
        def strike(self, trainer, *args):
            updates.append(trainer.global_step)
            if len(updates) == n:
                os.kill(os.getpid(), signal.SIGTERM)
            hook(self, trainer, *args)

        monkeypatch.setattr(Checkpoints, "on_train_batch_end", strike)
        return updates

    return sigterm_after


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """One worker runs the tests that share a fixture of their file, SLURM or the browser.

    The longest come first, so that no worker waits at the end: slow(minutes=4).
    """
    marks = {item: item.get_closest_marker("slow") for item in items}
    items.sort(key=lambda item: -marks[item].kwargs.get("minutes", 0) if marks[item] else 0)
    for item in items:
        groups = [name for name in ("slurm", "browser") if item.get_closest_marker(name)]
        fixtures = item._fixtureinfo.name2fixturedefs.values()
        if any(definitions[-1].scope == "module" for definitions in fixtures):
            groups.append(item.nodeid.split("::")[0])
        if groups:
            item.add_marker(pytest.mark.xdist_group(groups[0]))


@pytest.fixture(scope="session", autouse=True)
def _one_parser_a_command():
    """Its options are found once; each call of `main` then begins with a copy of the parser."""
    try:
        from lit_makemore.commands import lightning_cli
    except ImportError:  # no jsonargparse
        return
    made = cache(lambda command, started: parser_of(command))
    parser_of = lightning_cli.parser_of
    lightning_cli.parser_of = lambda command: deepcopy(made(command, sys.argv[0]))


@pytest.fixture(autouse=True)
def _nothing_left_behind(monkeypatch):
    """A test works in its temporary folder; the checkout has the same files after it as before."""
    monkeypatch.chdir(ROOT)
    torch.set_num_threads(1)  # a fit before it may have asked for more
    yield
    if torch.distributed.is_initialized():  # a fit with ddp in this process leaves its group
        torch.distributed.destroy_process_group()
    for name in ("LOCAL_RANK", "NODE_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
        os.environ.pop(name, None)  # with them a later fit of several processes would wait for ever
    left = _files() - _there
    _there.update(left)  # the tests after it are not to blame
    assert not left, f"the test, or one beside it, left {sorted(left)}"


def _files() -> set[str]:
    skipped = "__pycache__ .git .hypothesis .mypy_cache .pytest_cache .ruff_cache .venv".split()
    found = set()
    for folder, folders, files in os.walk(ROOT):
        folders[:] = [f for f in folders if f not in skipped and not f.endswith(".egg-info")]
        if folder == str(ROOT) and "runs" in folders:
            folders.remove("runs")
        # Lightning's finder of a learning rate keeps a file there for a moment
        found |= {os.path.join(folder, f) for f in files if not f.startswith(".lr_find_")}
    return found


_there = _files()

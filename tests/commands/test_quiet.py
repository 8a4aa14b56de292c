"""What Lightning says: what does not apply is silenced, what the user asked for is shown.

What connects the processes is closed before Python ends, unless one of them failed.
"""

import ast
import re
import signal
from contextlib import nullcontext
from pathlib import Path

import lightning
import pytest
import torch
from torch import distributed

from lit_makemore.cli import main
from lit_makemore.commands.quiet import SILENCED, quiet_lightning
from lit_makemore.runs.signals import Stopped

SOURCES = [
    *Path(lightning.__file__).parent.glob("fabric/**/*.py"),
    *Path(lightning.__file__).parent.glob("pytorch/**/*.py"),
    Path(torch.__file__).parent / "distributed/nn/functional.py",
    Path(torch.__file__).parent / "utils/_pytree.py",
]


@pytest.fixture(scope="module")
def messages() -> list[str]:
    """Every string in the sources that may warn, with "gather" for what is filled in at run time.

    That is the one word a filter of ours needs there: torch's message takes the function's name.
    """
    found = []
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
            elif isinstance(node, ast.JoinedStr):
                parts = [getattr(part, "value", "") for part in node.values]
                found.append("".join(p if isinstance(p, str) else "all_gather" for p in parts))
    return found


@pytest.mark.parametrize("silenced", SILENCED)
def test_what_is_silenced_is_what_is_said(messages, silenced):
    if "all_gather" in silenced and torch.__version__ < "2.12":
        pytest.skip("torch 2.11 does not say it yet")
    pattern = re.compile(silenced, re.IGNORECASE)  # as warnings.filterwarnings compiles it
    assert any(pattern.match(message) for message in messages)


def said(capfd, caplog, tmp_path, word_list, *more: str) -> str:
    caplog.clear()
    arguments = ["fit", "--data.path", str(word_list), "--data.batch_size", "16", "--name", "run"]
    arguments += ["--runs_dir", str(tmp_path), "--trainer.accelerator", "cpu"]
    arguments += ["--trainer.val_check_interval", "2", "--trainer.max_steps", "20", *more]
    arguments += ["--diagnostics.pictures", "false"]
    assert main(arguments) == 0
    return caplog.text + capfd.readouterr().err


def test_callbacks_say_what_they_are_asked_to_say(capfd, caplog, tmp_path, word_list):
    stopping = ["--trainer.callbacks+=EarlyStopping", "--trainer.callbacks.monitor=val/loss"]
    stopping += ["--trainer.callbacks.verbose=true", "--trainer.callbacks.min_delta=0.001"]
    saving = ["--trainer.callbacks+=ModelCheckpoint", "--trainer.callbacks.verbose=true"]
    saving += [f"--trainer.callbacks.dirpath={tmp_path}", "--trainer.callbacks.monitor=val/loss"]
    text = said(capfd, caplog, tmp_path, word_list, *stopping, *saving)
    assert "Metric val/loss improved" in text
    assert "reached" in text  # "val/loss" reached 3.2, saving …
    assert "Trainer.fit" not in text


def test_a_profile_and_a_summary_of_the_model_are_shown(capfd, caplog, tmp_path, word_list):
    more = ["--trainer.profiler", "simple", "--trainer.enable_model_summary", "true"]
    text = said(capfd, caplog, tmp_path, word_list, *more)
    assert "Profiler Report" in text
    assert "Trainable params" in text
    assert "available" not in text


@pytest.fixture
def connection(tmp_path):
    """One process, connected with itself."""
    distributed.init_process_group("gloo", f"file://{tmp_path}/store", rank=0, world_size=1)
    yield
    if distributed.is_initialized():
        distributed.destroy_process_group()


@pytest.mark.parametrize(
    ("error", "closed"),
    [(None, True), (Stopped(signal.SIGTERM, "stopped"), True), (ValueError("broken"), False)],
    ids=["at the end", "after a stop", "not after a failure, which would wait for the others"],
)
def test_it_is_closed(connection, error, closed):
    with pytest.raises(type(error)) if error else nullcontext(), quiet_lightning():
        assert distributed.is_initialized()
        if error:
            raise error
    assert distributed.is_initialized() != closed

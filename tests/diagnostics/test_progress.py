import errno
import os
import sys
from io import StringIO
from types import SimpleNamespace

import pytest
import torch

from lit_makemore.diagnostics.progress import ProgressLine
from tests.fits import fit


def drawn(word_list, capsys, line: ProgressLine) -> str:
    """What a fit writes to stderr."""
    fit(word_list, 20, line, enable_progress_bar=True, val_check_interval=10)
    return capsys.readouterr().err


def test_elsewhere_than_on_a_terminal_a_line_follows_each_validation(word_list, capsys):
    said = drawn(word_list, capsys, ProgressLine())
    lines = [line for line in said.splitlines() if line.startswith("step ")]
    assert [line.split(" · ")[0] for line in lines] == ["step 10/20", "step 20/20"]
    for part in ("loss", "val loss", "steps/s", "left"):
        assert part in lines[-1]


def test_on_a_terminal_one_line_is_redrawn(word_list, capsys, monkeypatch):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    said = drawn(word_list, capsys, ProgressLine(refresh_s=0.0))
    assert said.count("\r") > 3
    assert said.endswith("\n")
    assert "step 20/20" in said


def test_in_a_notebook_one_line_is_redrawn_and_nothing_of_it_is_left(word_list, monkeypatch):
    class OutStream(StringIO):
        """In Jupyter, a line after a carriage return overwrites as much as it is long."""

        __module__ = "ipykernel.iostream"

    monkeypatch.setattr("sys.stderr", OutStream())
    fit(word_list, 20, ProgressLine(refresh_s=0.0), enable_progress_bar=True, val_check_interval=5)
    drawn = sys.stderr.getvalue()
    assert drawn.count("\n") == 1
    blanks, lines = drawn.split("\r")[1::2], drawn.split("\r")[2::2]
    assert {blank.strip() for blank in blanks} == {""}
    assert len(blanks[0]) > max(map(len, lines))
    assert lines[-1].startswith("step 20/20")
    assert "\033" not in drawn


def test_a_disabled_line_is_not_drawn(word_list, capsys):
    line = ProgressLine()
    line.disable()
    assert "step 10/20" not in drawn(word_list, capsys, line)


class Failing(StringIO):
    """A stream on a full disk, or one that nobody reads."""

    def __init__(self, number: int):
        super().__init__()
        self.number = number

    def flush(self) -> None:
        raise OSError(self.number, os.strerror(self.number))


def test_a_full_disk_for_the_output_stops_no_run(word_list, monkeypatch):
    monkeypatch.setattr("sys.stderr", Failing(errno.ENOSPC))
    fit(word_list, 20, ProgressLine(), enable_progress_bar=True, val_check_interval=10)
    sys.stderr.close()  # another one
    monkeypatch.setattr("sys.stderr", Failing(errno.EPIPE))
    with pytest.raises(BrokenPipeError):
        fit(word_list, 20, ProgressLine(), enable_progress_bar=True, val_check_interval=10)


def test_the_time_left_is_that_at_the_speed_of_this_start(capsys, monkeypatch):
    """A resumed run: its first update pays for the start, and a validation follows it."""
    now, line = [50.0], ProgressLine()
    monkeypatch.setattr("lit_makemore.diagnostics.progress.monotonic", lambda: now[0])
    trainer = SimpleNamespace(
        global_step=989, max_steps=100_000, val_check_batch=1000, accumulate_grad_batches=1,
        state=SimpleNamespace(fn="fit"), sanity_checking=False, is_global_zero=True,
        callback_metrics={},
    )  # fmt: skip
    line.on_train_start(trainer, None)
    for step, seconds in [(990, 3.0), (1000, 0.5), (2000, 0.4)]:
        trainer.global_step, now[0] = step, now[0] + seconds
        line.on_train_batch_end(trainer, None, {"loss": torch.tensor(2.0)})
        if step != 990:
            line.on_validation_start(trainer, None)
            now[0] += 0.6
            line.on_validation_end(trainer, None)
    first, second = capsys.readouterr().err.splitlines()
    assert "left" not in first
    # 98,000 updates of 0.9 s for 1010, and 98 validations
    assert second.endswith(" · 2:26 left")

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


def test_a_disabled_line_is_not_drawn(word_list, capsys):
    line = ProgressLine()
    line.disable()
    assert "step 10/20" not in drawn(word_list, capsys, line)

import pytest

from lit_makemore.diagnostics.progress import ProgressLine
from lit_makemore.training.datamodule import NamesDataModule
from lit_makemore.training.module import LitMLP
from tests.training.test_module import trainer


@pytest.fixture
def run(word_list):
    def fit(line: ProgressLine) -> None:
        data = NamesDataModule(str(word_list), batch_size=16)
        model = LitMLP(data.chars, 3, n_hidden=8, n_layer=1)
        arguments = {"enable_progress_bar": True, "val_check_interval": 10}
        trainer(20, callbacks=[line], **arguments).fit(model, data)

    return fit


def test_elsewhere_than_on_a_terminal_a_line_follows_each_validation(run, capsys):
    run(ProgressLine())
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("step ")]
    assert [line.split(" · ")[0] for line in lines] == ["step 10/20", "step 20/20"]
    for part in ("loss", "val loss", "steps/s", "left"):
        assert part in lines[-1]


def test_on_a_terminal_one_line_is_redrawn(run, capsys, monkeypatch):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    run(ProgressLine(refresh_s=0.0))
    drawn = capsys.readouterr().err
    assert drawn.count("\r") > 3
    assert drawn.endswith("\n")
    assert "step 20/20" in drawn


def test_a_disabled_line_is_not_drawn(run, capsys):
    line = ProgressLine()
    line.disable()
    run(line)
    assert "step 10/20" not in capsys.readouterr().err

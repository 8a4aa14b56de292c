"""`compare`: rows, what differs, means over seeds, the t-test, bad input."""

import json
import sys
from pathlib import Path
from statistics import mean, stdev

import pytest
import yaml
from scipy.stats import t as student

from lit_makemore.cli import main
from lit_makemore.commands.compare import welch


@pytest.fixture
def make(tmp_path):
    """Writes the folder of a finished run as `fit` leaves it, as far as it is read."""

    def make(name: str, seed: int, val: float | None, sha: str = "x", **options) -> Path:
        folder = tmp_path / "runs" / name
        folder.mkdir(parents=True)
        model = {"lr": 0.1, "n_hidden": 100, **options}
        config = {"seed_everything": seed, "threads": 1, "model": model, "data": {"splits": [0.8]}}
        (folder / "config.yaml").write_text(yaml.dump(config))
        losses = {"val_loss": val, "test_loss": val and val + 0.01}
        facts = {**losses, **{f"{name}_novel": loss for name, loss in losses.items()}}
        health = {"nan": "ok", "overfit": "n/a: is judged later", "dead": "update 3: too many"}
        facts |= {"wall_s": 2.0, "health": health, "data": {"sha256": sha}}
        (folder / "summary.json").write_text(json.dumps(facts))
        return folder

    return make


def compare(capsys, *paths: Path) -> list[list[str]]:
    """The cells of the table that is printed."""
    assert main(["compare", *map(str, paths)]) == 0
    lines = capsys.readouterr().out.splitlines()
    table = lines[: lines.index("")] if "" in lines else lines
    return [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in table]


def test_what_differs_is_a_column_and_the_best_is_first(make, capsys):
    a, b = make("a", 1, 2.5), make("b", 1, 2.25, lr=0.2)
    rows = compare(capsys, a, b)
    assert rows[0][:3] == ["run", "lr", "seeds"]
    assert rows[1][:5] == [str(b), "0.2", "1", "2.2500", "2.2600"]
    assert rows[2][:5] == [str(a), "0.1", "1", "2.5000", "2.5100"]
    assert rows[1][-2:] == ["2.0", "dead"]


def test_seeds_are_one_row_with_mean_and_standard_deviation(make, tmp_path, capsys):
    for seed, val in enumerate((2.1, 2.2, 2.4)):
        make(f"a-{seed}", seed, val)
    rows = compare(capsys, tmp_path / "runs")
    assert len(rows) == 2
    sd = ((0.1333**2 + 0.0333**2 + 0.1667**2) / 2) ** 0.5  # around the mean 2.2333
    assert rows[1][1:3] == ["3", f"2.2333 ± {sd:.4f}"]


def test_the_same_seed_twice_is_not_two_seeds(make, tmp_path, capsys):
    make("a", 1, 2.1), make("again", 1, 2.1), make("other", 2, 2.3)
    assert [row[1] for row in compare(capsys, tmp_path / "runs")[1:]] == ["1", "2"]


def test_welchs_test_against_its_formula():
    a, b = [2.01, 2.03, 2.02, 2.05], [2.06, 2.04, 2.09]
    va, vb = stdev(a) ** 2 / len(a), stdev(b) ** 2 / len(b)
    t = (mean(a) - mean(b)) / (va + vb) ** 0.5
    nu = (va + vb) ** 2 / (va**2 / (len(a) - 1) + vb**2 / (len(b) - 1))
    assert welch(a, b) == pytest.approx(student.cdf(t, nu), rel=1e-6)
    assert welch(b, a) > 0.5


def test_rows_of_seeds_have_p_values_or_scipy_is_named(make, tmp_path, monkeypatch, capsys):
    for seed in range(3):
        make(f"a-{seed}", seed, 2.0 + 0.001 * seed)
        make(f"b-{seed}", seed, 2.5 + 0.001 * seed, n_hidden=50)
    rows = compare(capsys, tmp_path / "runs")
    assert rows[0][-2:] == ["p, val", "p, test"]
    assert rows[1][-2:] == ["–", "–"]
    assert float(rows[2][-2]) < 1e-6
    monkeypatch.setitem(sys.modules, "scipy.stats", None)
    assert main(["compare", str(tmp_path / "runs")]) == 1
    assert "pip install scipy" in capsys.readouterr().err


def test_a_run_without_a_loss_is_last_and_other_words_are_said(make, tmp_path, capsys):
    make("a", 1, None), make("b", 1, 2.5, lr=0.2), make("c", 1, 2.25, sha="y", lr=0.3)
    assert [row[3] for row in compare(capsys, tmp_path / "runs")[1:]] == ["2.2500", "2.5000", "–"]
    assert main(["compare", str(tmp_path / "runs")]) == 0
    assert "different word lists" in capsys.readouterr().out


def test_bad_input_is_one_line(make, tmp_path, capsys):
    run, empty = make("a", 1, 2.1), tmp_path / "empty"
    empty.mkdir()
    cases = {(): "which runs?", ("--x",): "--x", (empty,): "empty", (tmp_path / "no",): "no"}
    for arguments, said in cases.items():
        with pytest.raises(SystemExit) as ended:  # from the parser or from us
            raise SystemExit(main(["compare", *map(str, arguments)]))
        assert ended.value.code
        line = capsys.readouterr().err
        assert said in line
        assert line.count("\n") == 1
    (run / "summary.json").write_text("{")
    assert main(["compare", str(run)]) == 1
    assert "damaged" in capsys.readouterr().err
    (run / "summary.json").unlink()
    assert main(["compare", str(run)]) == 1
    assert f"continue it with fit --resume {run}" in capsys.readouterr().err

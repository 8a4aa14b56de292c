"""What a fit reports: evaluated once, told in words that fit the terminal."""

from pathlib import Path
from types import SimpleNamespace

import pytest
from torch import nn

from lit_makemore.cli import main
from lit_makemore.network.mlp import MLP
from lit_makemore.runs.report import Result, columns, draw_samples, headline, table, text
from lit_makemore.runs.tables import displayed_width
from lit_makemore.training.datamodule import NamesDataModule


def test_names_stand_in_five_columns():
    lines = columns([(name, "new") for name in "ada bo cleo dario edda fina".split()]).split("\n")
    assert lines[1:3] == ["  ada     bo      cleo    dario   edda", "  fina"]


@pytest.mark.parametrize("name", ["中" * 300, "e\u0301" * 300, "ab" * 9, "👩‍👩‍👧" * 40])
def test_whatever_the_names_the_table_fits_100_columns(name):
    samples = [(name, where) for where in ("new", "train", "held out", "cut")] * 5
    lines = columns(samples).split("\n")
    assert max(map(displayed_width, lines)) <= 100
    assert sum(line.count(name[:5]) for line in lines) >= 20


def result(test, mixed=False, published=None, words=(20, 20)) -> Result:
    losses = {"train": 2.0, "val": 2.2, "test": test, "val_novel": 2.2, "test_novel": test}
    data = SimpleNamespace(
        baselines={"kneser_ney": {**losses, "val": 2.2, "test": 2.3347}},
        best_counts=SimpleNamespace(order=2, discount=0.75),
        numbers=(range(100), range(words[0]), range(words[1])),
    )
    theirs = {} if published is None else {"val": published, "steps": 1e5}
    network = losses if mixed else None
    return Result(losses, losses, True, NoMixture(), network, data, theirs, 100_000)


class NoMixture(nn.Identity):
    mixture = None


@pytest.mark.parametrize(
    ("test", "failed", "line"),
    [
        (2.3744, [], "test 2.3744: 1.7 % worse than counting (Kneser–Ney 2.3347); healthy"),
        (2.0608, [], "test 2.0608: 11.7 % better than counting (Kneser–Ney 2.3347); healthy"),
        (2.3340, [], "test 2.3340: as good as counting (Kneser–Ney 2.3347); healthy"),
        (4.6302, ["overfit", "baseline"], "not healthy (overfit, baseline)"),
        (75.8, ["initial_loss", "saturation", "dead", "update_ratio", "x"], "healthy (5 checks)"),
        (None, None, "test unknown; health not judged"),
    ],
)
def test_the_first_line_says_in_words_what_the_run_reached(test, failed, line):
    assert headline(result(test), failed).endswith(line)
    assert headline(result(test), failed).startswith(f"test {test:.4f}: " if test else line)


@pytest.mark.parametrize("words", [(20, 20), (2, 1), (2000, 19), (19, 20)])
def test_below_the_headline_stands_how_few_words_it_is_of(words):
    lines = text(result(2.0608, words=words), None, [], Path("runs/x")).split("\n")
    few = f"(val words: {words[0]:,}, test words: {words[1]}; so few say little)"
    assert lines[:2] == [headline(result(2.0608), None), few if min(words) < 20 else ""]


@pytest.mark.parametrize(
    ("mixed", "published", "steps", "what"),
    [
        (False, None, 100_000, "test 2.3744:"),
        (True, None, 100_000, "test 2.3744 (mixture):"),
        (False, 2.37, 100_000, "val 2.2000 (published 2.3700):"),  # val is what is published
        (False, 2.37, 1000, "test 2.3744:"),  # it is another run
    ],
)
def test_each_figure_says_what_it_is_of(mixed, published, steps, what):
    found = result(2.3744, mixed, published)._replace(steps=steps)
    lines = text(found, None, [], Path("runs/x")).split("\n")
    assert lines[0].startswith(what)
    names = [line[:14].rstrip() for line in lines[2:7] if line[:1].isalpha()]
    rows = ["mixture" if mixed else "best weights", "its perplexity", *["network alone"] * mixed]
    rows += ["published"] * (published is not None) + ["kneser_ney"]
    assert names == ["nats", *rows]
    ends = f", after 100,000 updates; this run made {steps:,})"
    assert any(line.endswith(ends) for line in lines) == (published is not None)


def test_large_figures_stay_in_their_columns():
    row = dict.fromkeys(("train", "val", "test", "val_novel", "test_novel"), 123_456.7)
    assert len({len(line) for line in table({"best weights": row}).split("\n") if line}) == 1


@pytest.mark.parametrize("char", ["q", "中"])
def test_the_closing_tables_fit_100_columns_whatever_the_words(char, tmp_path, capsys):
    path = tmp_path / "words.txt"
    path.write_text("".join(f"{char * (280 + i)}{'ab'[i % 2]}\n" for i in range(20)))
    arguments = ["fit", "--data.path", str(path), "--data.batch_size", "16", "--name", "run"]
    arguments += ["--runs_dir", str(tmp_path), "--trainer.max_steps", "2"]
    assert main([*arguments, "--model.n_hidden", "8", "--diagnostics.pictures", "false"]) == 0
    lines = capsys.readouterr().out.rstrip().split("\n")
    assert lines[0].startswith("test ")
    assert "counting (Kneser–Ney" in lines[0]
    assert "health" in lines
    paths = [line for line in lines if str(tmp_path) in line]  # are as long as they are
    assert len(paths) == 4
    assert max(displayed_width(line) for line in lines if line not in paths) <= 100


def test_a_network_that_never_ends_a_name_costs_little(word_list):
    """It is asked for the names that are shown, and no further than names may go."""
    data = NamesDataModule(str(word_list))
    data.setup("fit")
    net = MLP(len(data.vocab), 3).eval()
    net.layers[-1].bias.data[0] = -1000
    seen = []
    net.register_forward_pre_hook(lambda _, inputs: seen.append(len(inputs[0])))
    samples = draw_samples(net, data)
    assert {(len(name), where) for name, where in samples} == {(100, "cut")}
    assert sum(seen) <= 20 * 100

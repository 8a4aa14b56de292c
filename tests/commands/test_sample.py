import re

import pytest

from lit_makemore.cli import main
from lit_makemore.words.corpus import word_hash


@pytest.fixture
def sample(ckpt):
    return lambda *arguments: main(["sample", "--ckpt_path", ckpt, "--seed", "1", *arguments])


def test_conditions_are_met_and_their_probability_is_said(sample, model, capsys):
    lengths = ["--min_length", "5", "--max_length", "8"]
    assert sample("--num", "50", "--prefix", "a", "--suffix", "a", *lengths, "--unique") == 0
    captured = capsys.readouterr()
    names = captured.out.split()
    assert len(set(names)) == len(names) == 50
    assert all(re.fullmatch("a.{3,6}a", name) for name in names)
    line = r"(.*) % of the network's names, none of them empty, fit\n"
    share = float(re.fullmatch(line, captured.err)[1]) / 100
    plain = model.generate(20_000, seed=2)
    fitting = sum(bool(re.fullmatch("a.{3,6}a", name)) for name in plain) / len(plain)
    assert share == pytest.approx(fitting, rel=0.2)


def test_a_pattern_with_scores_and_without_near_copies(sample, model, capsys):
    assert sample("--num", "30", "--pattern", "?a??*", "--scores", "--not_near") == 0
    rows = [row.split("\t") for row in capsys.readouterr().out.splitlines()]
    train = set(model.train_hashes.tolist())
    assert len(rows) == 30
    for name, _, mark in rows:
        assert re.fullmatch(".a..+", name)
        assert mark == "new"
        shorter = {name[:i] + name[i + 1 :] for i in range(len(name))}
        assert not {word_hash(word) for word in shorter} & train


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--temperature", "0"], "--temperature must be positive, not 0"),
        (["--top_k", "0"], "--top_k must be at least 1, not 0"),
        *((["--top_p", p], "--top_p must lie in (0, 1]") for p in ("0", "1.5")),
        (["--num", "0"], "--num must be at least 1, not 0"),
        (["--max_length", "0"], "--max_length must be at least 1, not 0"),
        (["--prefix", "Emma"], "the prefix contains 'E'"),
        (["--min_length", "0"], "--min_length must be at least 1, not 0"),
        (["--min_length", "3", "--max_length", "2"], "--max_length must be at least 3, not 2"),
        (["--pattern", "M?a"], "the pattern contains 'M'"),
        (["--suffix", "é"], "the suffix contains 'é'"),
        (["--pattern", "ad?", "--suffix", "b", "--prefix", "b"], "no name fits --prefix 'b'"),
        (["--pattern", "ada", "--top_p", "1", "--unique", "--num", "2"], "ask for fewer: --num 1"),
    ],
)
def test_what_cannot_be_drawn_is_one_line_and_no_file(sample, tmp_path, capsys, arguments, line):
    assert sample(*arguments, "--output", str(tmp_path / "names.txt")) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert line in error
    assert error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_python_draws_what_the_command_draws(sample, model, capsys):
    assert sample("--num", "7", "--suffix", "a", "--only_new", "--unique") == 0
    printed = capsys.readouterr().out.split()
    assert model.generate(7, 1, suffix="a", only_new=True, unique=True) == printed
    assert sample("--num", "7", "--temperature", "0.5") == 0
    assert model.generate(7, 1, temperature=0.5) == capsys.readouterr().out.splitlines()
    assert model.generate(7, 2, temperature=0.5) != model.generate(7, 1, temperature=0.5)

import csv
import json
import math

import pytest
import torch

from lit_makemore.cli import main
from tests.conftest import WORDS

GIVEN = ["selma", "xyz", "Ada", "vera"]


@pytest.fixture
def score(ckpt):
    return lambda *arguments: main(["score", "--ckpt_path", ckpt, *arguments])


@torch.no_grad()
def surprise(model, word: str) -> list[float]:
    """Of each character and the end mark, from the model's logits one at a time."""
    found, window = [], [0, 0, 0]
    for token in [*model.vocab.encode(word), 0]:
        found.append(-float(model(torch.tensor([window])).double().log_softmax(1)[0, token]))
        window = [*window[1:], token]
    return found


def test_csv_and_json_say_the_same_in_the_order_of_the_words(score, model, tmp_path, capsys):
    path = tmp_path / "words.txt"
    path.write_text("\n".join(GIVEN[2:]))
    more = ["--file", str(path), *GIVEN[:2]]
    assert score(*more, "--format", "csv") == 0
    captured = capsys.readouterr()
    assert captured.err.startswith("words without a score: 2 of 4, as 'xyz'")
    assert "try --lowercase" in captured.err
    rows = list(csv.DictReader(captured.out.splitlines()))
    assert score(*more, "--format", "json", "--output", str(tmp_path / "scores.json")) == 0
    objects = json.loads((tmp_path / "scores.json").read_text(encoding="utf-8"))
    assert [row["word"] for row in rows] == [one["word"] for one in objects] == GIVEN
    for row, one in zip(rows, objects, strict=True):
        assert list(row) == list(one)
        assert bool(int(row["in_train"])) == one["in_train"]
        if one["word"] in ("xyz", "Ada"):
            assert row["log_probability"] == row["loss_per_char"] == row["surprise"] == ""
            assert one["log_probability"] is one["loss_per_char"] is one["surprise"] is None
            continue
        expected = surprise(model, one["word"])
        assert one["surprise"] == pytest.approx(expected, abs=2e-4)
        assert [float(s) for s in row["surprise"].split()] == one["surprise"]
        assert one["log_probability"] == pytest.approx(-sum(expected), abs=2e-5)
        assert float(row["log_probability"]) == one["log_probability"]
        assert one["loss_per_char"] == pytest.approx(sum(expected) / len(expected), abs=2e-5)


def test_the_picture_has_a_bar_for_each_character_and_names_the_unlikely(score, model, capsys):
    assert score("vrea") == 0
    head, *bars, blank, _ = capsys.readouterr().out.splitlines()
    expected = surprise(model, "vrea")
    assert f"log p {-sum(expected):.2f}" in head
    assert blank == ""
    assert [bar.split()[0] for bar in bars] == ["v", "r", "e", "a", "end"]
    for bar, nats in zip(bars, expected, strict=True):
        assert float(bar.split()[1]) == pytest.approx(nats, abs=0.006)
        assert abs(bar.count("█") - 4 * nats) <= 1
        at_random = math.log(len(model.vocab))
        assert bar.endswith("unlikely") == (nats > at_random)


def test_training_words_are_known_in_lower_case_too(score, model, tmp_path, capsys):
    (tmp_path / "empty.txt").write_text("\n\n")
    more = ["--file", str(tmp_path / "empty.txt"), "--lowercase", "--format", "json"]
    assert score(*(word.upper() for word in WORDS), "adaa", *more) == 0
    in_train = [one["in_train"] for one in json.loads(capsys.readouterr().out)]
    assert sum(in_train) == len(model.train_hashes) == 24
    assert not in_train[-1]


def test_python_scores_words(model):
    zoe, ada = model.score(["zoë", "ada"])
    assert zoe is None
    assert ada == pytest.approx(-sum(surprise(model, "ada")), abs=1e-5)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ([], "score needs words"),
        (["--file", "none.txt"], "no word list at"),
        (["ada", "--output", "."], "is a folder"),
    ],
)
def test_bad_use_is_one_line(score, capsys, arguments, line):
    assert score(*arguments) == 1
    captured = capsys.readouterr()
    assert line in captured.err
    assert captured.err.count("\n") == 1
    assert captured.out == ""


def test_predict_needs_no_list_and_no_configuration(ckpt, model, tmp_path, monkeypatch, capsys):
    def fetch(*args):
        raise AssertionError("names.txt is asked for")

    monkeypatch.setattr("lit_makemore.words.corpus.fetch", fetch)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "given.txt").write_text("selma\nzoë\n")
    usual = ["--ckpt_path", ckpt, "--data.predict_path", "given.txt"]
    assert main(["predict", *usual, "--trainer.accelerator", "cpu"]) == 0
    rows = list(csv.DictReader(capsys.readouterr().out.splitlines()))
    assert float(rows[0]["log_probability"]) == pytest.approx(
        -sum(surprise(model, "selma")), abs=1e-5
    )
    assert rows[1]["log_probability"] == ""

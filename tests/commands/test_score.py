import csv
import json
import math

import pytest
import torch

from lit_makemore import model as checkpoint
from lit_makemore.cli import main
from tests.conftest import WORDS

GIVEN = ["selma", "xyz", "Ada", "vera"]


@pytest.fixture
def score(ckpt):
    return lambda *arguments: main(["score", "--ckpt_path", ckpt, *arguments])


@pytest.fixture
def surprise(ckpt):
    @torch.no_grad()
    def of(word: str) -> list[float]:
        """Of each character and the end mark, from the network's logits one at a time."""
        model, found, window = checkpoint.load(ckpt), [], [0, 0, 0]
        for token in [*model.vocab.encode(word), 0]:
            logits = model.net(torch.tensor([window])).double()
            found.append(-float(logits.log_softmax(1)[0, token]))
            window = [*window[1:], token]
        return found

    return of


def test_csv_and_json_say_the_same_in_the_order_of_the_words(score, surprise, tmp_path, capsys):
    path = tmp_path / "words.txt"
    path.write_text("\n".join(GIVEN[2:]))
    more = ["--file", str(path), *GIVEN[:2]]
    assert score(*more, "--format", "csv") == 0
    captured = capsys.readouterr()
    assert captured.err.startswith("2 of 4 words have no score, as 'xyz'")
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
        expected = surprise(one["word"])
        assert one["surprise"] == pytest.approx(expected, abs=2e-4)
        assert [float(s) for s in row["surprise"].split()] == one["surprise"]
        assert one["log_probability"] == pytest.approx(-sum(expected), abs=2e-5)
        assert float(row["log_probability"]) == one["log_probability"]
        assert one["loss_per_char"] == pytest.approx(sum(expected) / len(expected), abs=2e-5)


def test_the_picture_has_a_bar_for_each_character_and_names_the_unlikely(
    score, surprise, ckpt, capsys
):
    assert score("vrea") == 0
    head, *bars, blank, _ = capsys.readouterr().out.splitlines()
    expected = surprise("vrea")
    assert f"log p {-sum(expected):.2f}" in head
    assert blank == ""
    assert [bar.split()[0] for bar in bars] == ["v", "r", "e", "a", "end"]
    for bar, nats in zip(bars, expected, strict=True):
        assert float(bar.split()[1]) == pytest.approx(nats, abs=0.006)
        assert abs(bar.count("█") - 4 * nats) <= 1
        at_random = math.log(len(checkpoint.load(ckpt).vocab))
        assert bar.endswith("unlikely") == (nats > at_random)


def test_lowercase_folds_the_words(score, capsys):
    assert score("--lowercase", "ADA", "--format", "csv") == 0
    assert capsys.readouterr().out.splitlines()[1].startswith("ada,-")


def test_training_words_are_known(score, ckpt, capsys):
    assert score(*WORDS, "adaa", "--format", "json") == 0
    in_train = [one["in_train"] for one in json.loads(capsys.readouterr().out)]
    assert sum(in_train) == len(checkpoint.load(ckpt).train_hashes) == 24
    assert not in_train[-1]


def test_no_words_in_a_file_are_no_rows(score, tmp_path, capsys):
    (tmp_path / "empty.txt").write_text("\n\n")
    assert score("--file", str(tmp_path / "empty.txt"), "--format", "json") == 0
    assert json.loads(capsys.readouterr().out) == []


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


def test_predict_needs_no_list_and_no_configuration(ckpt, surprise, tmp_path, monkeypatch, capsys):
    def fetch(*args):
        raise AssertionError("names.txt is asked for")

    monkeypatch.setattr("lit_makemore.training.datamodule.fetch", fetch)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "given.txt").write_text("selma\nzoë\n")
    usual = ["--ckpt_path", ckpt, "--data.predict_path", "given.txt"]
    assert main(["predict", *usual, "--trainer.accelerator", "cpu"]) == 0
    rows = list(csv.DictReader(capsys.readouterr().out.splitlines()))
    assert float(rows[0]["log_probability"]) == pytest.approx(-sum(surprise("selma")), abs=1e-5)
    assert rows[1]["log_probability"] == ""

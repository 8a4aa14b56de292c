import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lit_makemore.words.corpus import read_words
from lit_makemore.words.reader import Reading, read_lines
from tests.conftest import WORDS

cells = st.text("ab é.'\",;\t", min_size=1, max_size=6).map(str.strip).filter(bool)


def column(text: str, name: str) -> list[tuple[int, str]]:
    return [line[:2] for line in read_lines("x.csv", text.encode(), Reading(column=name))]


@given(st.lists(st.tuples(cells, cells, cells), min_size=1, max_size=20), st.sampled_from("\t,;"))
def test_a_column_comes_back_as_it_was_written(rows, separator):
    """As Python's csv module writes it."""
    file = io.StringIO()
    writer = csv.writer(file, delimiter=separator, lineterminator="\n")
    writer.writerows([["one", "two", "three"], *rows])
    for index, name in enumerate(["one", "two", "three"]):
        assert column(file.getvalue(), name) == [(i, row[index]) for i, row in enumerate(rows, 2)]
    by_number = column("\n" + file.getvalue(), "2")
    assert by_number == [(i, r[1]) for i, r in enumerate([("", "two"), *rows], 2)]


@pytest.mark.parametrize("line", ["7,{}", "7; {}", "7\t{},x", '7,"{}"', "7,{} "])
def test_the_first_line_says_what_separates_the_columns(line):
    text = "\n".join(line.format(word) for word in WORDS)
    expected = [word + ",x" * ("x" in line) for word in WORDS]
    assert column(text, "2") == list(enumerate(expected, 1))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("kind,name\nk,ada", "line 2 has no text in column 'word'; its columns: 'kind' 'name'"),
        ('word,kind\nada,k\n"bela,k\nclara,k\n', "row after line 2: unexpected end of data"),
        ('word,kind\n"a","k\nk"\n\nbela,"k\nclara,"k\n', "row after line 2: ',' expected after"),
        ("kind,word\nk,ada\nk\n", "line 3 has no text in column 'word'; its columns: 'kind'"),
        ('{"word": "ada"}\n\n{"name": "ada"}\n', "line 3 has no text in column 'word'"),
        ('{"word": ["ada"], "n": 1}\n', "line 1 has no text .* its columns: 'word' 'n'"),
        ('{"word": "ada"}\n{"word": \n', "row after line 1: Expecting value; correct it"),
        ('{"word": "ada"}\n["ada"]\n', "row after line 1: 'list' object is not a mapping"),
        ('{"word": ' + "[" * 99_999, "row after line 0: "),
        ('word,kind\n"' + "a" * 200_000, "after line 0: field larger than field limit"),
        ("word,kind\n" + "a" * 1_001, "line 2 is longer than 1000 characters"),
    ],
)
def test_a_broken_table_is_an_error_with_its_line(text, message):
    with pytest.raises(ValueError, match=message):
        column(text, "word")


def test_json_lines_are_a_table():
    lines = '\ufeff {"word": "ad\\u00e4", "of": [1]}\n\n{"n": 1, "word": 7}\r\n{"word": null}\n'
    assert column(lines, "word") == [(1, "adä"), (3, "7"), (4, "")]


def test_words_to_score_may_be_any(tmp_path):
    path = tmp_path / "list.txt"
    path.write_bytes("st.john\n\n a\tb \r\nZoë\n".encode())
    assert read_words(path) == ["st.john", "a\tb", "Zoë"]
    assert read_words(path, Reading(lowercase=True, strip=False)) == ["st.john", " a\tb ", "zoë"]

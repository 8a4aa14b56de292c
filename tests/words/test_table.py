import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lit_makemore.words.table import columns, read_column, separator
from tests.conftest import WORDS

cells = st.text("ab é.'\",;\t", min_size=1, max_size=6).map(str.strip).filter(bool)


def written(rows: list[list[str]], mark: str) -> list[str]:
    """The rows as Python's csv module writes them, the referee."""
    file = io.StringIO()
    csv.writer(file, delimiter=mark, lineterminator="\n").writerows(rows)
    return file.getvalue().splitlines(keepends=True)


@given(st.lists(st.tuples(cells, cells, cells), min_size=1, max_size=20), st.sampled_from("\t,;"))
def test_a_column_comes_back_as_it_was_written(rows, mark):
    lines = written([["one", "two", "three"], *rows], mark)
    for index, name in enumerate(columns(lines[0], mark)):
        found = read_column(lines, name, mark, "x.csv")
        assert list(found) == [(i, row[index]) for i, row in enumerate(rows, 2)]
    assert [word for _, word in read_column(lines, "2", mark, "x.csv")][1:] == [r[1] for r in rows]


@pytest.mark.parametrize(
    ("line", "mark"),
    [
        ("{},7", ","),
        ("{}, 7", ","),
        ("7;{};x", ";"),
        ("7\t{}", "\t"),
        ('"{}, {}",7', ","),
        ('"{}"', ","),
        ('"{}",', ","),
        ("{}", None),
        ("{},", None),
        ("Smith, {}", None),
        ('{} "{}"', None),
    ],
)
def test_a_table_is_told_from_a_list(line, mark):
    lines = [line.replace("{}", word) + "\n" for word in WORDS]
    assert separator(lines) == mark
    assert separator([*lines, "something else\n"]) == mark


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["kind,name\n"], "x.csv, line 1 has no column 'word', only 'kind' 'name'"),
        (
            ["word,kind\n", "ada,k\n", '"bela,k\n', 'clara,k"\n'],
            "line 3: the row goes on in line 4",
        ),
        (["kind,word\n", "k,ada\n", "k\n"], "line 3 has no column 'word', only 1"),
        (["word,kind\n", '"' + "a" * 200_000 + "\n"], "line 2: field larger than field limit"),
    ],
    ids=["column", "open quotation", "short row", "endless"],
)
def test_a_broken_table_is_an_error_with_its_line(lines, message):
    with pytest.raises(ValueError, match=message):
        list(read_column(lines, "word", ",", "x.csv"))

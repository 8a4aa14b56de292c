"""What is no list of words is said to be something else; what is one is learnt as it is."""

import csv
import gzip
import io
import lzma
import pickle
import subprocess
import zipfile
from pathlib import Path

import pytest

from lit_makemore.words.corpus import read_corpus, read_words
from lit_makemore.words.reader import Reading
from tests.benchmarks.lists import words_of
from tests.conftest import WORDS

TEXT = ("\n".join(WORDS) + "\n").encode()
PACKAGE = Path(__file__).parents[2] / "lit_makemore"


def zipped(*names: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name in names:
            archive.writestr(name, TEXT)
    return file.getvalue()


BYTES = {
    "gzip": (gzip.compress(TEXT), "gunzip"),
    "gzip or its like, xz": (lzma.compress(TEXT), "unxz"),
    "gzip or its like, zstd": (b"\x28\xb5\x2f\xfd\x04\x58" + TEXT, "unzstd FILE"),
    "an archive, tar": (b"names.txt" + bytes(248) + b"ustar", "unpack it: tar"),
    "a workbook": (zipped("[Content_Types].xml", "xl/workbook.xml"), "save it as CSV"),
    "a document": (zipped("[Content_Types].xml", "word/document.xml"), "as plain text"),
    "a document, old": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(99), "as plain text"),
    "a checkpoint": (zipped("archive/data.pkl"), "one word per line"),
    "an archive": (zipped("names.txt"), "unzip or 7z"),
    "PDF": (b"%PDF-1.7\n%\xe2\xe3", "pdftotext FILE"),
    "a binary file, pickle": (pickle.dumps(WORDS), "one word per line"),
    "a binary file, SQLite": (b"SQLite format 3\0\x10\0\x01\x01", "one word per line"),
    "a binary file, PNG": (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "one word per line"),
    "a binary file, program": (b"MZ\x90\0\3" + bytes(99), "one word per line"),
    "a binary file, UTF-32": (TEXT.decode().encode("utf-32"), "one word per line"),
    "UTF-16": (TEXT.decode().encode("utf-16-le"), "--data.encoding utf-16-le"),
    "UTF-16, Cyrillic": ("Анна\nЗоя\n".encode("utf-16-be"), "--data.encoding utf-16-be"),
    "a web page": (b"\n<!DOCTYPE html>\n<html>\n", "download the raw file"),
    "HTML or XML": (b'<?xml version="1.0"?>\n<names>\n', "sed -E"),
    "JSON lines": (b'{"name": "emma"}\n{"name": "ava"}\n', "with --data.column"),
    "JSON": (b'{\n "names": [\n  "emma"\n ]\n}', "jq -r"),
    "a JSON array, records": (b'[{"name": "emma"}, {"name": "ava"}]', "jq -c '.[]' FILE"),
    "a JSON array": (b'\xef\xbb\xbf[\n "emma",\n "ava"\n]', "jq -r '.[]' FILE"),
}


def refusal(path: Path) -> str:
    with pytest.raises(ValueError, match="not like a list of words") as error:
        read_corpus(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("kind", BYTES)
def test_another_kind_of_file_is_named_by_its_first_bytes(kind, tmp_path):
    (path := tmp_path / "names.txt").write_bytes(BYTES[kind][0])
    said = refusal(path)
    assert f"looks like {kind.partition(',')[0]}" in said
    assert BYTES[kind][1] in said
    if kind != "HTML or XML":
        with pytest.raises(ValueError, match="looks like"):  # and is not scored either
            read_words(path)


LINES = {  # what it looks like: a line for each word
    "words with numbers": [
        "{} 28787",
        "{} 0.639 23.641 1",
        "{}: 28787",
        "{} (28787)",
        "New {} 12%",
    ],
    "numbers with words": ["  28787 {}"],
    "a numbered list": ["1. {}", "(1) {}", "1.{}"],
    "a list in Markdown": ["- {}", "* [ ] {}"],
    "HTML or XML": ["<li>{}</li>", "  <name>{}</name>"],
    "words in quotation marks": ["'{}',"],
    "a dictionary of hunspell": ["{}/SM"],
    "names with values": ["{} = Ruth", "{}: girl"],
    "URLs": ["https://{}/index.html"],
    "columns between blanks": ["{}  EH1 M AH0"],
    "words with comments": ["{} # a name"],
}
TABLES = ["{},7", "{};7", '"{}"', '"{}",', "{},girl", "{}, 7"]


@pytest.mark.parametrize(("kind", "line"), [(k, line) for k in LINES for line in LINES[k]])
def test_lines_of_something_else_are_named_and_the_remedy_gives_the_words(kind, line, tmp_path):
    lines = [line.format(word) for word in WORDS]
    if kind == "a dictionary of hunspell":
        lines = [str(len(WORDS)), *lines]
    (path := tmp_path / "names.txt").write_text("\n".join(lines) + "\n")
    said = refusal(path)
    assert f"looks like {kind}, " in said
    command = said.split("; ", 1)[1].split(" (or")[0]
    command = command.replace("NEW_FILE", "new.txt").replace("FILE", "names.txt")
    subprocess.run(command, shell=True, cwd=tmp_path, check=True)
    found = (tmp_path / "new.txt").read_text().split("\n")[:-1]
    assert [word.removeprefix("New ") for word in found] == WORDS
    assert read_corpus(path, Reading(column="1")).n_words == len(lines)


@pytest.mark.parametrize("line", TABLES)
def test_of_a_table_a_column_is_to_be_chosen(line, tmp_path):
    (path := tmp_path / "t.csv").write_text("\n".join(map(line.format, ["name", *WORDS])))
    assert "looks like a table (CSV)" in (said := refusal(path))
    assert "choose a column with --data.column" in said
    assert list(read_corpus(path, Reading(column="name")).words()) == WORDS


@pytest.mark.parametrize("text", ["one\ntwo", "one, two\n\nthree", 'a "b"\nc; d\ne', "a\n" * 9])
@pytest.mark.parametrize("separator", ",;\t")
def test_a_table_may_have_cells_of_several_lines(text, separator, tmp_path):
    with (path := tmp_path / "t.csv").open("w", newline="") as file:
        writer = csv.writer(file, delimiter=separator)
        writer.writerows([["text", "name"], *([text, word] for word in WORDS)])
    with pytest.raises(ValueError, match="a table .CSV. with lines in its cells; .* --data.column"):
        read_corpus(path)
    assert list(read_corpus(path, Reading(column="name")).words()) == WORDS
    with pytest.raises(ValueError, match="line 2: .* contains a line break; .* --data.column"):
        read_corpus(path, Reading(column="text"))


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("| name | n |\n|---|---|\n" + "| emma | 7 |\n" * 20, "a table with |"),
        ((PACKAGE / "model.py").read_text(), "source code"),
        ((PACKAGE / "commands/page/page.js").read_text(), "source code"),
        ((PACKAGE.parent / "LICENSE").read_text(), "running text"),
    ],
)
def test_other_texts_are_named(text, what, tmp_path):
    (path := tmp_path / "names.txt").write_text(text)
    assert f"looks like {what}" in refusal(path)


@pytest.mark.parametrize("first", ["# comment", "// comment", ";;; names", "#!/bin/sh", ">sp|P6"])
@pytest.mark.parametrize("again", [False, True])
def test_comments_are_no_words(first, again, tmp_path):
    (path := tmp_path / "names.txt").write_text(f"{first}\n{TEXT.decode()}{first * again}")
    with pytest.raises(ValueError, match=f"has comments, as .*: grep -v '.{first[0]}' FILE"):
        read_corpus(path)


LISTS = {
    "cities": ["New York", "Los Angeles", "Frankfurt (Oder)", "Saint-Étienne", "'s-Hertogenbosch"],
    "apostrophes": ["O'Brien", "d'Artagnan", "'tis", "Jean-Luc", "N'Djamena"],
    "digits": ["R2D2", "C3PO", "2Pac", "Blink-182", "50 Cent"],
    "Chinese": ["王伟", "李娜", "张敏", "刘洋"],
    "emoji": ["👩\u200d🚀", "🎉🎉", "❤️", "👍🏽"],
    "domains": ["example.com", "bbc.co.uk", "xn--bcher-kva.de"],
    "hashtags": ["#love", "#horror", "#2024"],
    "keywords": ["import", "from", "class", "return", "if"],
    "molecules": ["CC(=O)O", "C1=CC=CC=C1", "CC(C)O", "C=C", "[Na+].[Cl-]"],
    "odd words": [*WORDS, "Boeing 747", "AC/DC", "1. FC Köln", "Who?", "a=b", "- x"],
    "titles": ["Star Wars: A New Hope", "Alien", "2001", "Face/Off", "Brazil", "Heat"],
    "sounds": ["/ɛmə/", "/ɑː/", "/ˈɒlɪv/"],
    "dates": ["12/05", "1/2", "2024-01-31"],
}
OF_PACKAGES = ("jobs en_US", "languages", "subdivisions", "countries")  # of faker and pycountry


@pytest.mark.parametrize("name", [*LISTS, *OF_PACKAGES])
def test_a_list_of_words_is_learnt_as_it_is(name, tmp_path):
    if name in OF_PACKAGES:
        pytest.importorskip("faker")
        pytest.importorskip("pycountry")
    words = 10 * (LISTS.get(name) or words_of(name)) + WORDS[:10]
    (path := tmp_path / "names.txt").write_text("\n".join(words), encoding="utf-8")
    assert len(list(read_corpus(path).words())) == len(words)

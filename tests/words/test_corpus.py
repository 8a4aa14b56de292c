import hashlib
from concurrent.futures import ThreadPoolExecutor
from unittest.mock import Mock
from urllib.error import HTTPError, URLError

import pytest

from lit_makemore.words.corpus import fetch, read_corpus, read_words
from lit_makemore.words.reader import Reading
from tests.conftest import NAMES, WORDS, needs_names


def write(tmp_path, content: bytes):
    path = tmp_path / "list.txt"
    path.write_bytes(content)
    return path


def test_the_words_come_back_in_order(word_list):
    corpus = read_corpus(word_list)
    assert list(corpus.words()) == WORDS
    assert corpus.n_words == 30
    assert corpus.chars == "".join(sorted(set("".join(WORDS))))
    assert corpus.sha256 == hashlib.sha256(word_list.read_bytes()).hexdigest()


@needs_names
def test_names_txt_has_the_published_facts():
    corpus = read_corpus(NAMES)
    assert (corpus.n_words, len(corpus.chars)) == (32_033, 26)
    assert max(map(len, corpus.words())) == 15
    assert len(set(corpus.words())) == 29_494


@pytest.mark.parametrize("end", ["\r", "\r\n", "\n"])
def test_byte_order_mark_any_line_end_and_blank_lines_do_no_harm(tmp_path, end):
    content = b"\xef\xbb\xbf" + end.join([*WORDS[:15], "", "  ", *WORDS[15:]]).encode()
    corpus = read_corpus(write(tmp_path, content))
    assert list(corpus.words()) == WORDS
    assert corpus.blank_lines == 2
    words = [*WORDS, "Smith, José", "1,3-Jose\u0301", "naïve\u200cxy"]  # one spelling
    corpus = read_corpus(write(tmp_path, end.join(words).encode()))
    assert list(corpus.words()) == [*WORDS, "Smith, José", "1,3-José", "naïve\u200cxy"]


def test_lowercase_and_strip_are_options(tmp_path):
    path = write(tmp_path, "\n".join(f" {word.title()} " for word in WORDS).encode())
    assert list(read_corpus(path, Reading(lowercase=True)).words()) == WORDS
    assert list(read_corpus(path, Reading(strip=False)).words()) == [
        f" {word.title()} " for word in WORDS
    ]


GOOD = "\n".join(WORDS).encode() + b"\n"
COUNTS = "name,n\n" + "".join(f"{word},3\n" for word in WORDS)
BAD = {  # how a list is read, its content, and what is said of it
    "empty": ({}, b"", "ends in line 0; distinct words by then: 0, needed: 10 at least"),
    "one word": ({}, b"emma\n" * 50, "ends in line 50; distinct words by then: 1, needed: 10"),
    "broken": ({}, GOOD.decode().encode("utf-16") + b"\0\xdc", "line 31 is not UTF-16"),
    "one line": ({}, b"a" * 2**20, "line 1 is longer than 1000 characters; put one word on each"),
    "tsv": ({}, GOOD.replace(b"\n", b"\t7\n"), "'ada\\\\t7' contains a tab; .* --data.column"),
    "tab": ({}, GOOD + b"a\tb\n", "line 31: 'a\\\\tb' contains a tab; put one word on each line"),
    "letters": (
        {}, "\n".join(map(chr, range(0x4E00, 0x9C20))).encode(),
        "20,000 distinct characters; more than 10,000 are not possible",
    ),
    "ASCII": ({"encoding": "ascii"}, b"\xe9\n", "line 1 is not ASCII; --data.encoding cp1252"),
    "counts": (
        {"column": "name", "count": "n"}, COUNTS.replace(",3", ",0").encode(),
        "line 31; .* by then: 0, .* 30 lines, or with count 0",
    ),
    **{
        f"hidden {ascii(c)}": ({}, GOOD + f"an{c}na\n".encode(), "line 31: .* contains a control")
        for c in "\x07\u200b\u200f\ufeff\u2060\u00ad\u2066\x7f\x85"
    },
    **{
        f"encoding {name!r}": ({"encoding": name}, GOOD, "--data.encoding .* is none of text")
        for name in ("utf-9", "hex", "undefined", "", "\0")
    },
}  # fmt: skip


@pytest.mark.parametrize(("how", "content", "message"), BAD.values(), ids=map(repr, BAD))
def test_a_bad_list_is_one_error_with_its_remedy(tmp_path, how, content, message):
    with pytest.raises(ValueError, match=message):
        read_corpus(write(tmp_path, content), Reading(**how))
    with pytest.raises(FileNotFoundError, match="no word list at"):
        read_corpus(tmp_path / "none.txt")


ENCODED = [  # words in an encoding; the readings that are offered begin with the right one
    ("cp1252", "Zoé"), ("cp1252", "Ærøskøbing"), ("cp1250", "Łukasz"), ("cp1251", "Анна"),
    ("koi8-r", "Анна"), ("shift-jis", "さくら"), ("euc-kr", "민준서"), ("gbk", "王伟"),
    ("big5", "王偉"),
]  # fmt: skip


@pytest.mark.parametrize(("encoding", "word"), ENCODED)
@pytest.mark.parametrize("end", ["\n", "\r"])
def test_a_file_in_another_encoding_is_read_with_the_option_that_the_error_names(
    tmp_path, encoding, word, end
):
    path = write(tmp_path, end.join([*WORDS, word]).encode(encoding))
    with pytest.raises(ValueError, match="line 31 is not UTF-8; .* iconv -f ENCODING") as error:
        read_corpus(path)
    assert f"--data.encoding {encoding} reads {word!r}, or" in str(error.value)
    assert str(error.value).count("--data.encoding") <= 3
    assert list(read_corpus(path, Reading(encoding=encoding)).words()) == [*WORDS, word]
    assert read_words(path, Reading(encoding=encoding))[-1] == word


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
def test_a_mark_at_the_beginning_is_no_character(tmp_path, encoding):
    path = write(tmp_path, "\n".join(["\ufeffZoé", *WORDS]).encode(encoding.removesuffix("-sig")))
    assert list(read_corpus(path, Reading(encoding=encoding)).words()) == ["Zoé", *WORDS]


@pytest.mark.parametrize(
    ("more", "times"),
    [
        ("zoe,3\n", 1),
        ("zoe,4.2\n", 1),
        ("zoe,5\n", 2),
        ("zoe,24\n", 4),
        ("zoe,10\nada,3\nzoe, 14 \n", 4),
        ("zoe,1e12\n", 16),
        ("zoe,24\nmax,0\n,7\n", 4),
    ],
)
def test_a_word_is_learnt_more_often_by_the_logarithm_of_its_count(tmp_path, more, times):
    corpus = read_corpus(
        write(tmp_path, f"{COUNTS}{more}".encode()), Reading(column="name", count="n")
    )
    assert list(corpus.words()) == [*WORDS, "zoe"]
    assert corpus.n_words == len(corpus.times) == 31
    assert corpus.times.tolist() == [1 + ("ada" in more)] + [1] * 29 + [times]


@pytest.mark.parametrize(
    "count", ["-1", "x", "", "nan", "inf", "1e400", "1 000", '"1,000"', "9" * 16]
)
def test_what_is_no_count_is_an_error_with_its_line(tmp_path, count):
    path = write(tmp_path, f"{COUNTS}zoe,{count}\n".encode())
    with pytest.raises(ValueError, match="line 32: '.*' is no count; write a number such as 1234"):
        read_corpus(path, Reading(column="name", count="n"))


@pytest.mark.parametrize("mark", [b"\xff\xfe", b"\xfe\xff"])
@pytest.mark.parametrize("words", [WORDS, [f"Анна{letter}" for letter in "абвгдежзик"]])
def test_utf_16_with_its_mark_is_read(tmp_path, mark, words):
    encoding = "utf-16-le" if mark == b"\xff\xfe" else "utf-16-be"
    corpus = read_corpus(write(tmp_path, mark + "\r\n".join(words).encode(encoding)))
    assert list(corpus.words()) == words


@pytest.mark.parametrize("every", [1, 2])
def test_commas_at_the_ends_of_lines_are_left_out(tmp_path, every):
    lines = [word + ", "[: 2 * (i % every == 0)] for i, word in enumerate(WORDS)]
    corpus = read_corpus(write(tmp_path, "\n".join(lines).encode()))
    assert list(corpus.words()) == WORDS
    assert list(read_corpus(tmp_path / "list.txt", Reading(strip=False)).words()) == lines


def test_a_column_of_a_table_is_read_as_a_list_is(tmp_path):
    long = "k" * 2_000  # another column may be longer than a word
    lines = ["kind,name", *(f"{long},{word.upper()} " for word in WORDS), "k,Jose\u0301", "k,"]
    path = write(tmp_path, "\r\n".join(lines).encode("utf-8-sig"))
    corpus = read_corpus(path, Reading(lowercase=True, column="name"))
    assert list(corpus.words()) == [*WORDS, "josé"]
    assert corpus.blank_lines == 1


@pytest.mark.parametrize("dotted", ["İ", "I\u0307", "i\u0307"])
def test_a_dotted_capital_i_becomes_a_plain_one(tmp_path, dotted):
    path = write(tmp_path, "\n".join([*WORDS, f"{dotted}nci"]).encode())
    corpus = read_corpus(path, Reading(lowercase=True))
    assert list(corpus.words()) == [*WORDS, "inci"]
    assert corpus.notes == [f"{path}: İ becomes i, without a second dot"]
    assert "nci" in list(read_corpus(path).words())[-1]
    assert read_corpus(path).notes == []
    path.write_text("\n".join(f"{word}İ, x" for word in WORDS))
    table, dots = read_corpus(path, Reading(lowercase=True)).notes
    assert "--data.column" in table
    assert dots == f"{path}: İ becomes i, without a second dot"


def test_fetch_downloads_once_and_verifies(tmp_path):
    source, path = write(tmp_path, GOOD), tmp_path / "data" / "names.txt"
    with pytest.raises(ValueError, match="sha256"):  # and leaves nothing
        fetch(path, source.as_uri(), "0" * 64)
    assert not path.parent.exists()
    with ThreadPoolExecutor(8) as pool:  # racing ones all succeed
        digest = hashlib.sha256(GOOD).hexdigest()
        list(pool.map(lambda _: fetch(path, source.as_uri(), digest), range(8)))
    source.unlink()
    fetch(path, source.as_uri(), digest)
    assert path.read_bytes() == GOOD
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("error", [URLError("offline"), HTTPError("", 404, "gone", {}, None)])
def test_an_unreachable_address_names_itself_the_place_and_the_quick_start(
    tmp_path, monkeypatch, error
):
    monkeypatch.setattr("urllib.request.urlopen", Mock(side_effect=error))
    with pytest.raises(ConnectionError) as raised:
        fetch(tmp_path / "names.txt", "http://example.org/x")
    for part in ("example.org/x", str(tmp_path / "names.txt"), "configs/quickstart.yaml"):
        assert part in str(raised.value)

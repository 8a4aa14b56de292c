"""Files that are no list of words: what they look like, and what to do with them."""

import csv
import re
from collections.abc import Sequence

FIRST = 200  # lines that are judged
NAME, COLUMN = "name a text file with one word per line", "choose a column with --data.column"
BYTES = {  # how a file begins: what it looks like, and what to do
    rb"\x1f\x8b|BZh\d1AY|\xfd7zXZ|\(\xb5/\xfd": ("gzip or its like", "gunzip, unxz or unzstd FILE"),
    rb"PK\x03\x04.*(xl/|spreadsheet)": ("a workbook", f"save it as CSV and {COLUMN}"),
    rb"PK\x03\x04.*(word/|opend)|\{\\rtf|\xd0\xcf\x11\xe0": ("a document", "save it as plain text"),
    rb"PK\x03\x04.*/data\.pkl": ("a checkpoint", NAME),
    rb"PK\x03\x04|7z\xbc\xaf|Rar!\x1a|.{257}ustar": ("an archive", "unpack it: tar, unzip or 7z"),
    rb"%PDF-": ("PDF", "pdftotext FILE"),
    rb"(?!\xff\xfe)([^\0].|\0[^\0])*?\n\0": ("UTF-16 without mark", "--data.encoding utf-16-le"),
    rb"(?!\xfe\xff)([^\0].|\0[^\0])*?\0\n": ("UTF-16 without mark", "--data.encoding utf-16-be"),
    rb"\xff\xfe\0\0|(?!\xff\xfe|\xfe\xff).{0,999}\0": ("a binary file", NAME),
    rb"<!doctype html|<html": ("a web page", "download the raw file"),
    rb"\{ *\"": ("JSON lines", COLUMN),
    rb"\{\s*['}]|\{\s*\n\s*\"": ("JSON", "jq -r '.. | .name? // empty' FILE > NEW_FILE"),
    rb"\[\s*\{": ("a JSON array", f"jq -c '.[]' FILE > NEW_FILE, and {COLUMN}"),
    rb"\[\s*[\"'\]]": ("a JSON array", "jq -r '.[]' FILE > NEW_FILE"),
}
COMMENT = re.compile(r"(#+|//+|;+|%+|--+|/\*+|<!--) .*[^\W\d].*|#!.*|>\w.*")
CODE = r"(import|from|def|class|return|const|let|var|function|if|for|while|#include|public|int)"
NUMBERS = "s/([ :=(]+-?[0-9.,]+[%)]?)+$//"  # at the end of a line
LINES = {  # a line, and how many of them: what they look like, and what to do
    (r"(\w+://|www\.)\S+", 0.8): ("URLs", "sed -E 's|^[a-z]+://||; s|/.*||'"),
    (r"<[^>]+>.*|.*</[^>]+>", 0.5): ("HTML or XML", "sed -E 's/ *<[^>]*>//g'"),
    (r"[^\s/\d][^\s/]*/[A-Za-z0-9,]+", 0.2): ("a dictionary of hunspell", "sed '1d; s|/.*||'"),
    (r".*\|.*", 0.8): ("a table with |", "cut -d'|' -f2"),
    (r"[-*+•·–] +.*", 0.4): ("a list in Markdown", r"sed -E 's/^ *[^ ]+ +(\[.\] +)?//'"),
    (r"[\[(]?\d+[.)\]:]+ *[^\W\d].*", 0.8): ("a numbered list", "sed -E 's/^[^.):]*[.):]+ *//'"),
    (r"'[^']*'", 0.8): ("words in quotation marks", """tr -d "'," <"""),
    (r'"[^"]*"|[^,;]+[,;](\S.*| *-?[\d.%]+)|-?[\d.]+[,;].*', 0.8): ("a table (CSV)", COLUMN),
    (r"(?=.*[^\W\d]).*[ :=(]-?\d[\d.,]*[%)]?", 0.8): ("words with numbers", f"sed -E '{NUMBERS}'"),
    (r"\d[\d.,]*%? +[^\W\d].*", 0.8): ("numbers with words", "sed -E 's/^ *[^ ]+ +//'"),
    (r"[\w .-]+[:=].*\S|\[.*\]", 0.8): ("names with values", "sed -E 's/ *[:=].*//'"),
    (rf"{CODE} .+|.*[{{}};]|.*\w\(.*\)?|[)\]}}].*|.* = .*", 0.4): ("source code", NAME),
    (r"\S.* (#|//) .*", 0.3): ("words with comments", "sed -E 's, +(#|//) .*,,'"),
    (r"\S.* {2,}\S.*", 0.8): ("columns between blanks", "awk '{print $1}'"),
    (r"(\S+ ){9,}\S+", 0.5): ("running text", r"tr -s '[:space:]' '\n' <"),
}


def check_bytes(path: object, content: bytes, column: str | None = None) -> None:
    """Raises ValueError if the first or last bytes are those of another kind of file."""
    ends = content[:2048].removeprefix(b"\xef\xbb\xbf").lstrip() + content[-2048:]
    for pattern, (what, remedy) in BYTES.items():
        found = re.match(pattern, ends, re.DOTALL | re.IGNORECASE)
        if found and not (column and remedy == COLUMN):
            raise ValueError(f"{path} looks like {what}, not like a list of words; {remedy}")


def separator(line: str) -> str:
    """What separates the columns of a table with this first line."""
    return next((mark for mark in "\t;," if mark in line), ",")


def check_lines(path: object, words: Sequence[str]) -> None:
    """Raises ValueError if too many of the first words are lines of something else."""
    lines = [word.replace("\0", "") for word in words[:100] if word]
    rows = list(csv.reader(lines, delimiter=separator("".join(lines[:1])), skipinitialspace=True))
    if len(rows) < len(lines) and 2 * sum(1 < len(row) == len(rows[0]) for row in rows) > len(rows):
        raise ValueError(f"{path} looks like a table (CSV) with lines in its cells; {COLUMN}")
    words = [word.strip()[:300] for word in words if word.strip()]
    for (pattern, share), (what, remedy) in LINES.items():
        found = [word for word in words if re.fullmatch(pattern, word)]
        if len(found) > share * len(words):
            if remedy not in (NAME, COLUMN):
                remedy += " FILE > NEW_FILE (or, if it is a list, --data.column 1)"
            like = f"{len(found)} of its first {len(words)} lines are like {found[0]!r}"
            raise ValueError(
                f"{path} looks like {what}, not like a list of words: {like}; {remedy}"
            )
    found = [word for word in words if COMMENT.fullmatch(word)]
    if 0 < 2 * len(found) < len(words) and (found[1:] or found == words[:1]):
        remedy = f"take out what is no word: grep -v '^{found[0][0]}' FILE > NEW_FILE"
        raise ValueError(f"{path} has comments, as {found[0]!r}; {remedy}")

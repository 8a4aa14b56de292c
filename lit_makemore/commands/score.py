"""`score`: how probable words are to a trained network, and which of their letters are unlikely."""

import csv
import json
import math
import sys
import unicodedata
from collections.abc import Iterable, Iterator
from io import StringIO
from typing import Any, Literal

from lit_makemore.commands import threads
from lit_makemore.files import write_parts
from lit_makemore.model import NameModel, load
from lit_makemore.runs.tables import displayed_width
from lit_makemore.sampling.scoring import character_scores
from lit_makemore.words.corpus import are_among, read_words
from lit_makemore.words.reader import lowered

CHUNK = 4096  # words that are scored at once
PER_NAT, WIDEST = 4, 48  # characters of a bar
UNSPELLED = "they contain characters that never occur in the training words"
COLUMNS = ("word", "log_probability", "loss_per_char", "in_train", "surprise")


def score(
    *words: str,
    ckpt_path: str,
    file: str | None = None,
    lowercase: bool = False,
    format: Literal["text", "csv", "json"] = "text",
    output: str | None = None,
) -> None:
    """Scores words with the network of a checkpoint, and shows which letters are unlikely.

    Args:
        words: the words to score.
        ckpt_path: the checkpoint file; no configuration and no word list is needed.
        file: a file of more words, one a line.
        lowercase: make every word lower-case first.
        format: text draws the surprise of each character as a bar; csv and json have the columns
            word, log_probability, loss_per_char, in_train and surprise, in nats.
        output: file to write instead of printing.
    """
    if not words and file is None:
        raise ValueError("score needs words: score --ckpt_path FILE emma zoe, or --file FILE")
    threads.use(threads.asked(None) or threads.cores())
    model = load(ckpt_path)
    given = [unicodedata.normalize("NFC", word) for word in words if word]
    given += read_words(file) if file else []
    if lowercase:
        given = [lowered(word) for word in given]
    rows, at_random = _scored(model, given), math.log(len(model.vocab))
    texts = {"text": _text(rows, at_random), "csv": _csv(rows), "json": _json(rows)}
    write_parts(output, texts[format])
    if unspelled := [word for word in given if not model.vocab.spells(word)]:
        folded = any(model.vocab.spells(word.lower()) for word in unspelled)
        how_many = f"words without a score: {len(unspelled):,} of {len(given):,}"
        said = f"{how_many}, as {unspelled[0]!r}: {UNSPELLED}" + "; try --lowercase" * folded
        print(said, file=sys.stderr)


def _scored(model: NameModel, words: list[str]) -> Iterator[dict[str, Any]]:
    """Rows of COLUMNS; None in place of the scores of a word that the vocabulary cannot spell."""
    for start in range(0, len(words), CHUNK):
        chunk = words[start : start + CHUNK]
        spelled = [word for word in chunk if model.vocab.spells(word)]
        log_p, lengths = character_scores(model, model.vocab, model.block_size, spelled)
        surprises = iter((-log_p).split(lengths.tolist()))
        known = are_among(chunk, model.train_hashes).tolist()
        for word, in_train in zip(chunk, known, strict=True):
            total = per_char = surprise = None
            if model.vocab.spells(word):
                each = next(surprises).tolist()
                total, per_char = round(-sum(each), 6), round(sum(each) / len(each), 6)
                surprise = [round(one, 4) for one in each]
            yield dict(zip(COLUMNS, (word, total, per_char, in_train, surprise), strict=True))


def csv_row(cells: Iterable[object]) -> str:
    line = StringIO()
    csv.writer(line, lineterminator="\n").writerow(cells)
    return line.getvalue()


def _csv(rows: Iterator[dict[str, Any]]) -> Iterator[str]:
    yield csv_row(COLUMNS)
    for row in rows:
        surprise = " ".join(f"{value:.4f}" for value in row["surprise"] or ())
        yield csv_row({**row, "in_train": int(row["in_train"]), "surprise": surprise}.values())


def _json(rows: Iterator[dict[str, Any]]) -> Iterator[str]:
    yield "[\n" + ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows) + "\n]\n"


def _text(rows: Iterator[dict[str, Any]], at_random: float) -> Iterator[str]:
    for row in rows:
        if row["surprise"] is None:
            yield f"{row['word']}  no score\n\n"
            continue
        each = f"{row['loss_per_char']:.2f} a character"
        known = "a" if row["in_train"] else "not a"
        yield f"{row['word']}  log p {row['log_probability']:.2f}, {each}, {known} training word\n"
        for c, nats in zip([*row["word"], "end"], row["surprise"], strict=True):
            shown = "\N{OPEN BOX}" if c == " " else c
            shown += " " * (3 - displayed_width(shown))
            bar = "█" * min(round(nats * PER_NAT), WIDEST) + "  unlikely" * (nats > at_random)
            yield f"  {shown} {nats:5.2f} {bar}\n"
        yield "\n"
    unlikely = f"unlikely: less likely than a character drawn at random ({at_random:.2f})"
    yield f"bars: surprise, -log p of each character, in nats; {unlikely}\n"

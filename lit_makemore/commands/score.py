"""`score`: how probable words are to a trained network, and which of their letters are unlikely."""

import json
import math
import sys
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from lit_makemore import model as checkpoint
from lit_makemore.commands import output as outputs
from lit_makemore.commands import threads
from lit_makemore.commands.parsing import call
from lit_makemore.sampling.conditions import needs_lowercase
from lit_makemore.sampling.scoring import character_scores
from lit_makemore.words.corpus import are_among, read_words

CHUNK = 4096  # words that are scored at once
EIGHTHS = " ▏▎▍▌▋▊▉"
PER_NAT, WIDEST = 4, 48  # characters of a bar


@dataclass(frozen=True)
class Scored:
    """A word and how it surprises the network.

    Args:
        word: the word.
        in_train: whether it is a training word.
        surprise: -log p of each character and of the end mark, in nats; None if the vocabulary
            cannot spell the word.
    """

    word: str
    in_train: bool
    surprise: list[float] | None

    def columns(self) -> dict[str, str | float | bool | list[float] | None]:
        """What is known of the word, by name; floats are rounded."""
        if self.surprise is None:
            log_p = per_char = surprise = None
        else:
            log_p, per_char = -sum(self.surprise), sum(self.surprise) / len(self.surprise)
            log_p, per_char = round(log_p, 6), round(per_char, 6)
            surprise = [round(one, 4) for one in self.surprise]
        return {
            "word": self.word,
            "log_probability": log_p,
            "loss_per_char": per_char,
            "in_train": self.in_train,
            "surprise": surprise,
        }


def run(args: list[str], begun: float) -> None:
    """Runs `score` with the options of the command line."""
    threads.use(threads.asked(None) or threads.cores())
    call(score, args)


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
    model = checkpoint.load(ckpt_path)
    given = [unicodedata.normalize("NFC", word) for word in words if word]
    given += read_words(file) if file else []
    if lowercase:
        given = [word.lower() for word in given]
    rows = _scored(model, given)
    at_random = math.log(len(model.vocab))
    texts = {"text": _text(rows, at_random), "csv": _csv(rows), "json": _json(rows)}
    outputs.write(texts[format], output)

    unspelled = [word for word in given if not model.vocab.spells(word)]
    if unspelled:
        folded = any(needs_lowercase(word, model.vocab) for word in unspelled)
        print(
            f"{len(unspelled):,} of {len(given):,} words have no score, as {unspelled[0]!r}: they "
            "contain characters that never occur in the training words"
            + ("; try --lowercase, the training words are lower-case" if folded else ""),
            file=sys.stderr,
        )


def _scored(model: checkpoint.NameModel, words: list[str]) -> Iterator[Scored]:
    for start in range(0, len(words), CHUNK):
        chunk = words[start : start + CHUNK]
        spelled = [word for word in chunk if model.vocab.spells(word)]
        network = model, model.vocab, model.block_size
        log_p, lengths = character_scores(*network, spelled)
        rows = iter((-log_p).split(lengths.tolist()))
        known = are_among(chunk, model.train_hashes).tolist()
        for word, in_train in zip(chunk, known, strict=True):
            surprise = next(rows).tolist() if model.vocab.spells(word) else None
            yield Scored(word, in_train, surprise)


def _csv(scored: Iterator[Scored]) -> Iterator[str]:
    names = list(Scored("", False, None).columns())
    yield outputs.csv_row(names)
    for one in scored:
        columns = one.columns() | {"in_train": int(one.in_train)}
        if one.surprise is not None:
            columns["surprise"] = " ".join(f"{value:.4f}" for value in one.surprise)
        yield outputs.csv_row([columns[name] for name in names])


def _json(scored: Iterator[Scored]) -> Iterator[str]:
    before = "["
    for one in scored:
        yield f"{before}\n" + json.dumps(one.columns(), ensure_ascii=False)
        before = ","
    yield "[]\n" if before == "[" else "\n]\n"


def _text(scored: Iterator[Scored], at_random: float) -> Iterator[str]:
    """Each word with a bar for each character, and a line that explains them.

    Args:
        scored: the words.
        at_random: the surprise of a character where all are equally likely.
    """
    for one in scored:
        known = "a training word" if one.in_train else "not a training word"
        if one.surprise is None:
            yield f"{one.word}  no score\n\n"
            continue
        total = sum(one.surprise)
        per_char = total / len(one.surprise)
        yield f"{one.word}  log p {-total:.2f}, {per_char:.2f} a character, {known}\n"
        for c, surprise in zip([*one.word, "end"], one.surprise, strict=True):
            mark = "  unlikely" if surprise > at_random else ""
            yield f"  {_shown(c)} {surprise:5.2f} {_bar(surprise)}{mark}".rstrip() + "\n"
        yield "\n"
    yield (
        "bars: surprise, -log p of each character, in nats; unlikely: less likely than a character "
        f"drawn at random ({at_random:.2f})\n"
    )


def _shown(c: str) -> str:
    """A character, or "end", three columns wide."""
    if unicodedata.combining(c[0]):
        return f"\N{DOTTED CIRCLE}{c}  "
    wide = unicodedata.east_asian_width(c[0]) in "WF"
    return ("\N{OPEN BOX}" if c == " " else c).ljust(2 if wide else 3)


def _bar(nats: float) -> str:
    eighths = round(min(nats * PER_NAT, WIDEST) * 8)
    return "█" * (eighths // 8) + EIGHTHS[eighths % 8].strip()

"""What words must look like: how they begin and end, a pattern, how long they are."""

import unicodedata
from dataclasses import dataclass

from lit_makemore.sampling.patterns import MANY, Automaton, parse, quoted
from lit_makemore.words.vocab import Vocabulary


@dataclass(frozen=True)
class Condition:
    """A condition on a word; the default is none.

    Args:
        prefix: how the word begins.
        suffix: how it ends.
        pattern: what all of it fits, see words/patterns.py; empty for no pattern.
        min_length: its fewest characters.
        max_length: its most characters; None for no limit.

    Raises:
        ValueError: no word has such a length; the message names the option.
    """

    prefix: str = ""
    suffix: str = ""
    pattern: str = ""
    min_length: int = 0
    max_length: int | None = None

    def __post_init__(self) -> None:
        if self.min_length < 0:
            raise ValueError(f"--min_length must be at least 0, not {self.min_length}")
        least = max(self.min_length, 1)
        if self.max_length is not None and self.max_length < least:
            raise ValueError(f"--max_length must be at least {least}, not {self.max_length}")
        for name in ("prefix", "suffix", "pattern"):  # as the training words
            object.__setattr__(self, name, unicodedata.normalize("NFC", getattr(self, name)))

    @property
    def is_simple(self) -> bool:
        """Whether there is nothing but a prefix and a max_length."""
        return not (self.suffix or self.pattern or self.min_length)

    def automaton(self, vocab: Vocabulary) -> Automaton:
        """What reads words that are to fit prefix, suffix and pattern.

        Raises:
            ValueError: no word of this vocabulary fits; the line says what to do.
        """
        self.check_characters(vocab)
        patterns = {
            "prefix": quoted(self.prefix) + MANY if self.prefix else "",
            "suffix": MANY + quoted(self.suffix) if self.suffix else "",
            "pattern": self.pattern,
        }
        automaton = Automaton([p for p in patterns.values() if p] or [MANY], vocab.chars)
        least = automaton.missing[0]
        if least is None:
            given = [f"--{name} {getattr(self, name)!r}" for name, p in patterns.items() if p]
            raise ValueError(f"no word fits {' and '.join(given)}; leave one of them out")
        if self.max_length is not None and self.max_length < least:
            raise ValueError(f"--max_length must be at least {least}, not {self.max_length}")
        return automaton

    def check_characters(self, vocab: Vocabulary) -> None:
        """Checks that the vocabulary has all characters of the condition.

        Raises:
            ValueError: it has not; the line offers lower case where that would do.
        """
        letters = "".join(c for c, special in parse(self.pattern) if not special)
        for name, text in {
            "prefix": self.prefix, "suffix": self.suffix, "pattern": letters
        }.items():  # fmt: skip
            if needs_lowercase(text, vocab):
                given = getattr(self, name)
                raise ValueError(
                    f"the training words are lower-case; use --{name} {given.lower()}, not {given}"
                )
            vocab.encode(text, f"the {name}")


def needs_lowercase(text: str, vocab: Vocabulary) -> bool:
    """Whether a lower-case vocabulary spells a text only after it is made lower-case."""
    lower = text.lower()
    return lower != text and vocab.chars == vocab.chars.lower() and vocab.spells(lower)

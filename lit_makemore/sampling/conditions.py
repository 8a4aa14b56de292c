"""What words must look like: how they begin and end, a pattern, how long they are.

In a pattern ? is one character and * any number of them; a backslash makes a character ordinary.
"""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from math import inf

from lit_makemore.words.reader import MAX_LINE
from lit_makemore.words.vocab import Vocabulary

ONE, MANY, SOLID = "one", "many", "solid"  # no characters; the last is no white space
NAME = (SOLID, MANY), (MANY, SOLID)  # what all names fit: no white space at an end
MAX_ENDS = 100_000  # in all states of an automaton

Items = tuple[str, ...]  # characters, ONE and MANY


class ArgumentError(ValueError):
    """Is raised with options as they are typed, --top_k. Its text has Python's arguments, top_k."""

    def __str__(self) -> str:
        return re.sub(r"(?<!\S)--(?=[a-z])", "", str(self.args[0]))


def parse(pattern: str) -> Items:
    """The items of a pattern; a backslash at its end stands for itself."""
    items, characters = [], iter(pattern)
    for c in characters:
        if c == "\\":
            items.append(next(characters, c))
        elif c != "*" or items[-1:] != [MANY]:  # several in a row are one
            items.append({"?": ONE, "*": MANY}.get(c, c))
    return tuple(items)


class Automaton:
    """Reads a word; after each character it is in the one state that says how the word may go on.

    A state holds, for each pattern, the lengths of all ends of it that the rest may fit (the subset
    construction: Rabin & Scott, 1959). Every word begins in state 0. Of each state, `accepts` says
    whether the word may end, `missing` after how many more characters it may (inf: never), and
    `moves` which state follows each character that may come.
    """

    def __init__(self, patterns: Sequence[Items], chars: str) -> None:
        begin = tuple(frozenset(_closed(items, len(items))) for items in patterns)
        numbers, moves, n_ends = {begin: 0}, list[dict[str, int]](), 0
        for state in (queue := [begin]):
            moves.append({})
            n_ends += sum(map(len, state))
            for c in chars:
                if all(after := tuple(map(_after, patterns, state, c * len(patterns)))):
                    if after not in numbers:
                        numbers[after] = len(numbers)
                        queue.append(after)
                    moves[-1][c] = numbers[after]
            if n_ends > MAX_ENDS:
                raise ValueError("the pattern has too many *; use fewer of them")
        self.accepts = [all(0 in ends for ends in state) for state in queue]
        self.missing = missing = [0 if accepts else inf for accepts in self.accepts]
        before = None
        while before != missing:  # backwards: mostly the second time is the last
            before = missing.copy()
            for number, after_each in reversed([*enumerate(moves)]):
                nearest = min((missing[after] for after in after_each.values()), default=inf)
                missing[number] = min(missing[number], 1 + nearest)
        self.moves = [{c: to for c, to in of.items() if missing[to] < inf} for of in moves]

    def fits(self, word: str, min_length: int = 0) -> bool:
        state = 0
        for c in word:
            if c not in self.moves[state]:
                return False
            state = self.moves[state][c]
        return self.accepts[state] and len(word) >= min_length


def _closed(items: Items, left: int) -> set[int]:
    """The length of an end of a pattern, and of the ends it stands for: a MANY may be none."""
    none = takewhile(lambda length: items[-length] == MANY, range(left, 0, -1))
    return {left, *(length - 1 for length in none)}


def _after(items: Items, ends: frozenset[int], c: str) -> frozenset[int]:
    found: set[int] = set()
    for left in ends - {0}:
        if (item := items[-left]) in (MANY, ONE, c) or (item == SOLID and not c.isspace()):
            found |= _closed(items, left - (item != MANY))
    return frozenset(found)


@dataclass(frozen=True)
class Condition:
    """A condition on a word; the default is none."""

    prefix: str = ""
    suffix: str = ""
    pattern: str = ""
    min_length: int = 1
    max_length: int | None = None

    def __post_init__(self) -> None:
        if self.min_length < 1:
            raise ArgumentError(f"--min_length must be at least 1, not {self.min_length}")
        for name in ("prefix", "suffix", "pattern"):  # as the training words
            if len(text := unicodedata.normalize("NFC", getattr(self, name))) > MAX_LINE:
                raise ArgumentError(f"--{name} has more characters than a word: {MAX_LINE:,}")
            object.__setattr__(self, name, text)

    @property
    def is_simple(self) -> bool:
        return not self.suffix and not self.pattern and self.min_length == 1

    def begins_with(self) -> str:
        """Characters that every word that fits begins with."""
        literal = takewhile(lambda item: item not in (ONE, MANY), parse(self.pattern))
        return max(self.prefix, "".join(literal), key=len)

    def automaton(self, vocab: Vocabulary) -> Automaton:
        """What reads words that are to fit; raises ValueError if none of this vocabulary does."""
        patterns = {
            "prefix": (*self.prefix, MANY),
            "suffix": (MANY, *self.suffix),
            "pattern": parse(self.pattern) if self.pattern else (MANY,),
        }
        for name, items in patterns.items():
            vocab.encode("".join(c for c in items if c not in (ONE, MANY)), f"the {name}")
        automaton = Automaton([*patterns.values(), *NAME], vocab.chars)
        if automaton.missing[0] == inf:
            given = [f"--{name} {text!r}" for name in patterns if (text := getattr(self, name))]
            remedy = "leave one of them out, or white space at an end"
            raise ArgumentError(f"no name fits {' and '.join(given)}; {remedy}")
        least = max(self.min_length, int(automaton.missing[0]))
        if self.max_length is not None and self.max_length < least:
            raise ArgumentError(f"--max_length must be at least {least}, not {self.max_length}")
        return automaton

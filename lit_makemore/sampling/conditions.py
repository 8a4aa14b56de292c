"""What words must look like: how they begin and end, a pattern, how long they are.

In a pattern `?` stands for one character and `*` for any number of them, none included; `\\` before
one of `?`, `*` and `\\` makes it an ordinary character. A pattern describes whole words.
"""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from lit_makemore.words.vocab import Vocabulary

ONE, MANY = "?", "*"
QUOTE = "\\"
MAX_STATES = 10_000

Item = tuple[str, bool]  # a character, or ONE or MANY where the second is True
State = tuple[frozenset[int], ...]  # for each pattern, the items that may come next


def quoted(text: str) -> str:
    """The pattern that only this text fits."""
    return "".join(QUOTE + c if c in (ONE, MANY, QUOTE) else c for c in text)


def parse(pattern: str) -> list[Item]:
    """The items of a pattern.

    Raises:
        ValueError: the pattern ends with a single backslash.
    """
    items, characters = [], iter(pattern)
    for c in characters:
        if c != QUOTE:
            items.append((c, c in (ONE, MANY)))
        elif (following := next(characters, None)) is not None:
            items.append((following, False))
        else:
            raise ValueError(
                f"the pattern {pattern!r} ends with a single \\, which quotes nothing; write \\\\"
            )
    return items


class Automaton:
    """Reads a word; after each character it is in the one state that says how the word may go on.

    A state holds, for each pattern, all places in the pattern where the reader may be (the subset
    construction: Rabin & Scott, 1959, https://doi.org/10.1147/rd.32.0114). States are numbered from
    0, where every word begins.

    Args:
        patterns: what a word must fit, every one of them.
        chars: the characters that words are made of.

    Attributes:
        accepts: of each state, whether the word may end.
        missing: of each state, the fewest characters after which it may end; None if never.

    Raises:
        ValueError: the patterns have too many states; a pattern cannot be parsed.
    """

    def __init__(self, patterns: Sequence[str], chars: str) -> None:
        self._items = [parse(pattern) for pattern in patterns]
        self._named = {c for items in self._items for c, special in items if not special}
        # The characters that no pattern names all have the same effect: one stands for the others.
        others = [c for c in chars if c not in self._named][:1]
        letters = [c for c in chars if c in self._named] + others
        states: dict[State, int] = {tuple(self._closed(i, {0}) for i in range(len(patterns))): 0}
        self._next: list[dict[str, int]] = []
        for state in (queue := list(states)):
            following = {}
            for c in letters:
                if all(after := self._after(state, c)):
                    if after not in states:
                        states[after] = len(states)
                        queue.append(after)
                    following[c if c in self._named else ""] = states[after]
            self._next.append(following)
            if len(states) > MAX_STATES:
                raise ValueError(
                    f"the pattern has too many {MANY}: it would take more than {MAX_STATES:,} "
                    "states; use fewer of them"
                )
        ends = [len(items) for items in self._items]
        self.accepts = [all(e in s for e, s in zip(ends, state, strict=True)) for state in states]
        self.missing = self._distances()

    def step(self, state: int, c: str) -> int | None:
        """The state after one more character; None if no word that fits goes on so."""
        after = self._next[state].get(c if c in self._named else "")
        return after if after is not None and self.missing[after] is not None else None

    def forced(self, chars: str) -> str:
        """The characters that every word that fits begins with; `chars` as above."""
        state, found = 0, ""
        while not self.accepts[state]:
            moves = [(c, after) for c in chars if (after := self.step(state, c)) is not None]
            if len(moves) != 1:
                break
            found, state = found + moves[0][0], moves[0][1]
        return found

    def fits(self, word: str) -> bool:
        """Whether a word fits every pattern."""
        state = 0
        for c in word:
            after = self.step(state, c)
            if after is None:
                return False
            state = after
        return self.accepts[state]

    def _closed(self, number: int, places: set[int]) -> frozenset[int]:
        """Places, and those that are reached from them without a character: a MANY may be none."""
        items, found = self._items[number], set(places)
        for place in range(len(items)):
            if place in found and items[place] == (MANY, True):
                found.add(place + 1)
        return frozenset(found)

    def _after(self, state: State, c: str) -> State:
        after = []
        for number, (items, places) in enumerate(zip(self._items, state, strict=True)):
            reached = set()
            for place in places - {len(items)}:
                item = items[place]
                if item == (MANY, True):
                    reached.add(place)
                elif item in ((ONE, True), (c, False)):
                    reached.add(place + 1)
            after.append(self._closed(number, reached))
        return tuple(after)

    def _distances(self) -> list[int | None]:
        missing: list[int | None] = [0 if accepts else None for accepts in self.accepts]
        before: list[list[int]] = [[] for _ in missing]
        for state, following in enumerate(self._next):
            for after in following.values():
                before[after].append(state)
        queue = [state for state, accepts in enumerate(self.accepts) if accepts]
        for state in queue:  # breadth first
            for earlier in before[state]:
                if missing[earlier] is None:
                    missing[earlier] = missing[state] + 1  # type: ignore[operator]
                    queue.append(earlier)
        return missing


@dataclass(frozen=True)
class Condition:
    """A condition on a word; the default is none.

    Args:
        prefix: how the word begins.
        suffix: how it ends.
        pattern: what all of it fits, see above; empty for no pattern.
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

"""Patterns of words, as an automaton that reads a word one character at a time.

In a pattern `?` stands for one character and `*` for any number of them, none included; `\\` before
one of `?`, `*` and `\\` makes it an ordinary character. A pattern describes whole words.
"""

from collections.abc import Sequence

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

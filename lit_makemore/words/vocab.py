"""Characters ↔ integers."""

import re
from collections.abc import Iterable

END = "\n"  # index 0; also fills the window before a word begins. No word of a file has it
MAX_CHARS = 10_000

# control characters and those that no reader sees, which also steer a terminal; no joiners (U+200C
# and U+200D), which are spelling in Persian, Hindi and emoji
CONTROL = re.compile(
    "[\0-\x1f\x7f-\x9f\xad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060\u2066-\u2069\ufeff\ud800-\udfff]"
)


class Vocabulary:
    """The end mark at index 0, after it the characters that a network knows, sorted."""

    def __init__(self, chars: str) -> None:
        odd = CONTROL.search(chars) or len(chars) > MAX_CHARS
        if odd or list(chars) != sorted(set(chars)):
            told = "characters, distinct and sorted, and no control characters"
            raise ValueError(f"a vocabulary has at most {MAX_CHARS:,} {told}, not {chars!r}")
        self.chars, self.itos = chars, END + chars
        self.stoi = {c: i for i, c in enumerate(self.itos)}

    def __len__(self) -> int:
        return len(self.itos)

    @property
    def labels(self) -> list[str]:
        """What pictures show for each index. The end mark is ".", or "end" if the list has "."."""
        return ["end" if "." in self.chars else ".", *self.chars]

    def spells(self, word: str) -> bool:
        """Whether all characters of the word are known."""
        return all(c in self.stoi and c != END for c in word)

    def encode(self, word: str, what: str = "the word") -> list[int]:
        """The indices of a word's characters; an unknown one raises ValueError about `what`."""
        if unknown := sorted(set(word) - set(self.chars)):
            occur = "occurs" if len(unknown) == 1 else "occur"
            told = f"never {occur} in the training words; use only {_listed(self.chars, most=60)}"
            raise ValueError(f"{what} contains {_listed(unknown)}, which {told}")
        return [self.stoi[c] for c in word]

    def decode(self, indices: Iterable[int]) -> str:
        return "".join(self.itos[i] for i in indices)


def difference(checkpoint: str, word_list: str) -> str:
    """Says which characters only one of two vocabularies has; empty if they are equal."""
    ours, theirs = set(checkpoint), set(word_list)
    owners = {"checkpoint": ours - theirs, "word list": theirs - ours}
    found = (f"only the {owner} has {_listed(sorted(c))}" for owner, c in owners.items() if c)
    return "; ".join(found)


def visible(text: str) -> str:
    """The text with names for control characters, but \\n and \\t: a terminal only shows it."""
    return re.sub(f"(?![\n\t]){CONTROL.pattern}", lambda found: ascii(found[0])[1:-1], text)


def _listed(chars: Iterable[str], most: int = 20) -> str:
    chars = list(chars)
    more = f" and {len(chars) - most} more" if len(chars) > most else ""
    return " ".join(repr(c) for c in chars[:most]) + more

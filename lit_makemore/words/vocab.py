"""Characters ↔ integers."""

from collections.abc import Iterable, Sequence

END = "."  # index 0: pads the window before a word begins, and ends the word


class Vocabulary:
    """The characters a network knows, in sorted order, after the end mark at index 0.

    Args:
        chars: the distinct characters of the word list, sorted, without the end mark.
    """

    def __init__(self, chars: str) -> None:
        if END in chars or list(chars) != sorted(set(chars)):
            raise ValueError(
                f"a vocabulary is distinct sorted characters without {END!r}, not {chars!r}"
            )
        self.chars = chars
        self.itos = END + chars
        self.stoi = {c: i for i, c in enumerate(self.itos)}

    def __len__(self) -> int:
        return len(self.itos)

    def spells(self, word: str) -> bool:
        """Whether the word has known characters only."""
        return all(c in self.stoi and c != END for c in word)

    def encode(self, word: str) -> list[int]:
        """The indices of a word's characters, without the end mark.

        Raises:
            ValueError: the word has a character that the vocabulary lacks.
        """
        if unknown := sorted(set(word) - set(self.chars)):
            raise ValueError(
                f"{word!r} has {_listed(unknown)}, which the vocabulary lacks; "
                f"it knows {_listed(self.chars, most=60)}"
            )
        return [self.stoi[c] for c in word]

    def decode(self, indices: Sequence[int]) -> str:
        """The word that indices spell."""
        return "".join(self.itos[i] for i in indices)


def difference(ours: str, theirs: str) -> str:
    """What tells two sets of characters apart, in words; empty where nothing does."""
    missing, extra = sorted(set(ours) - set(theirs)), sorted(set(theirs) - set(ours))
    parts = [f"only the checkpoint has {_listed(missing)}"] if missing else []
    parts += [f"only the word list has {_listed(extra)}"] if extra else []
    return "; ".join(parts)


def _listed(chars: Iterable[str], most: int = 20) -> str:
    chars = list(chars)
    return " ".join(repr(c) for c in chars[:most]) + (
        f" and {len(chars) - most} more" if len(chars) > most else ""
    )

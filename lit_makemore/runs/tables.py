"""Tables as text: for a terminal, and as Markdown."""

from collections.abc import Sequence
from unicodedata import category, combining, east_asian_width


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """The rows with columns below each other, the first one on the left, the others on the right.

    Args:
        rows: cells; the first row is the head.
    """
    widths = [max(map(displayed_width, column)) for column in zip(*rows, strict=True)]

    def line(row: Sequence[str]) -> str:
        pads = [" " * (w - displayed_width(c)) for c, w in zip(row, widths, strict=True)]
        return "  ".join([row[0] + pads[0], *map("".join, zip(pads[1:], row[1:], strict=True))])

    return "\n".join(line(row).rstrip() for row in rows)


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """The rows as a Markdown table; the first row is the head."""
    lines = [rows[0], ["---"] * len(rows[0]), *rows[1:]]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def short_names(options: Sequence[str]) -> dict[str, str]:
    """The last part of each option's name, where no other one has the same: "lr" for "model.lr"."""
    last = [option.rpartition(".")[2] for option in options]
    return {o: s if last.count(s) == 1 else o for o, s in zip(options, last, strict=True)}


def shown(value: object) -> str:
    """A value of an option as YAML has it, a number with at most four digits that count."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def shortened(name: str, width: int) -> str:
    """The name, with … for what does not fit into a width."""
    if displayed_width(name) <= width:
        return name
    while displayed_width(name) >= width:
        name = name[: min(width, len(name) - 1)]
    return name + "…"


def displayed_width(text: str) -> int:
    """The columns of a terminal that a text takes: two for a Chinese character or an emoji."""
    return sum(
        0 if combining(c) or category(c) == "Cf" else 1 + (east_asian_width(c) in "WF")
        for c in text
    )

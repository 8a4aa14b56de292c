"""What a fit reached as a text: a line in words, the losses, the names."""

from collections.abc import Collection
from math import exp

from lit_makemore.counts.baselines import Figures
from lit_makemore.diagnostics.health import TABLE_WIDTH
from lit_makemore.runs.summary import Result
from lit_makemore.runs.tables import displayed_width, shortened

LONGEST_SHOWN = 30  # columns


def headline(result: Result, failed: Collection[str] | None) -> str:
    """What the run has reached, in words.

    Args:
        result: the losses of the run.
        failed: the checks of the monitors that have failed; None if nothing was judged.
    """
    val, counting = result.best["val"], result.baselines["kneser_ney"]["val"]
    reached = "val unknown"
    if val is not None and counting is not None:
        percent = 100 * (val / counting - 1)
        than = f"{abs(percent):,.1f} % {'worse' if percent > 0 else 'better'} than"
        than = "as good as" if abs(percent) < 0.05 else than
        reached = f"val {number(val, 4)}: {than} counting (Kneser–Ney {counting:.4f})"
    if failed is None:
        return f"{reached}; health not judged"
    if not failed:
        return f"{reached}; healthy"
    line = f"{reached}; not healthy ({', '.join(failed)})"
    return line if len(line) <= TABLE_WIDTH else f"{reached}; not healthy ({len(failed)} checks)"


def text(result: Result, samples: list[tuple[str, str]]) -> str:
    """The closing table of the losses, and the names."""
    rows = {"best weights" if result.kept else "last weights": result.best}
    if result.network:
        rows["network alone"] = result.network
    order, discount = result.counts.order, result.counts.discount
    before = "one character" if order == 1 else f"up to {order} characters"
    parts = [table({**rows, **result.baselines})]
    parts.append(
        f"(kneser_ney: {before} before the next one, discount {discount}; the val words chose both)"
    )
    if result.net.mixture is not None:
        parts += [f"({said})" for said in result.net.mixture.sentences()]
    return "\n".join([*parts, columns(samples)])


def table(rows: dict[str, Figures]) -> str:
    """Losses as lines of text, below the first row its perplexities."""
    widths = {"train": 9, "val": 9, "test": 9, "val_novel": 12, "test_novel": 12}
    titles = (split.replace("_", ", ") for split in widths)
    cells = zip(titles, widths.values(), strict=True)
    lines = [f"\n{'nats':<14}" + "".join(f"{title:>{width}}" for title, width in cells)]

    def line(name: str, figures: Figures, digits: int) -> str:
        texts = {k: "–" if v is None else number(v, digits) for k, v in figures.items()}
        return f"{name:<14}" + "".join(f"{texts[k]:>{width}}" for k, width in widths.items())

    for name, figures in rows.items():
        lines.append(line(name, figures, 4))
        if len(lines) == 2:
            perplexity = {k: v if v is None else exp(min(v, 700.0)) for k, v in figures.items()}
            lines.append(line("perplexity", perplexity, 3))
    return "\n".join(lines)


def number(value: float, digits: int) -> str:
    """A number of at most 9 columns; "3.2e+30" if it is large."""
    return f"{value:.{digits}f}" if value < 1e4 else f"{value:.1e}"


def columns(samples: list[tuple[str, str]]) -> str:
    """The names in columns, each with a mark for where it is found; long ones are shortened."""
    mark = {"train": "=", "held out": "~", "new": " ", "cut": " "}
    names = [shortened(name, LONGEST_SHOWN) for name, _ in samples]
    width = max(map(displayed_width, names), default=0) + 3
    cells = [
        f"{mark[where]} {name}" + " " * (width - 2 - displayed_width(name))
        for name, (_, where) in zip(names, samples, strict=True)
    ]
    across = min(5, TABLE_WIDTH // width)
    lines = ["".join(cells[i : i + across]).rstrip() for i in range(0, len(cells), across)]
    return "\n" + "\n".join(lines) + "\n(= a training word, ~ a val or test word, others new)"

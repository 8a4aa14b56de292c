"""The lecture's pictures, drawn from tensors. Each function returns a PNG.

Layers have colours from dark (the first) to light (the last).
"""

from collections.abc import Iterable, Sequence
from io import BytesIO
from unicodedata import category, normalize

import torch
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font
from PIL import Image
from torch import Tensor

Picture = tuple[int, int, bytes]  # height and width in pixels, PNG
WIDTH, HEIGHT, DPI = 8.0, 4.0, 90
BINS = 50
MOST_LABELS = 100


def densities(tensors: dict[str, Tensor], title: str, limit: float | None = None) -> Picture:
    """The distribution of each tensor's values as a line.

    Args:
        tensors: by name, first layer first.
        title: of the picture.
        limit: the x-axis ends at ±limit; None for three times the largest standard deviation.
    """
    figure, axes = _figure(title)
    flat = {name: t.detach().float().flatten().cpu() for name, t in tensors.items()}
    flat = {name: t for name, t in flat.items() if t.numel() > 1 and bool(t.isfinite().all())}
    if limit is None:
        limit = 3 * max((float(t.std()) for t in flat.values()), default=0.0) or 1.0
    centres = (torch.arange(BINS) + 0.5) * (2 * limit / BINS) - limit
    for colour, (name, t) in zip(_ramp(len(flat)), flat.items(), strict=True):
        density = t.clamp(-limit, limit).histc(BINS, -limit, limit) * BINS / (2 * limit * len(t))
        axes.plot(
            centres.tolist(), density.tolist(), color=colour, label=f"{name}  σ {t.std():.1e}"
        )
    axes.set_xlim(-limit, limit)
    axes.set_ylabel("density", fontsize=8)
    _legend(axes, len(flat))
    return _png(figure)


def ratios(history: Sequence[tuple[int, dict[str, float]]], guide: float) -> Picture:
    """log10 update ratios over the steps, a line for each weight, and the guide line.

    Args:
        history: step and ratios by weight, for each probe.
        guide: height of the guide line.
    """
    figure, axes = _figure("log10 of update over weight")
    names = list(dict.fromkeys(name for _, found in history for name in found))
    for colour, name in zip(_ramp(len(names)), names, strict=True):
        points = [(step, found[name]) for step, found in history if name in found]
        axes.plot(*zip(*points, strict=True), color=colour, label=name, marker=".", markersize=3)
    axes.axhline(guide, color="black", linewidth=1, label=f"guide {guide:.0f}")
    axes.set_xlabel("update", fontsize=8)
    _legend(axes, len(names) + 1)
    return _png(figure)


def saturation(flat: dict[str, Tensor], title: str) -> Picture:
    """A map for each layer: one row an example, one column a unit, white where the unit is flat.

    Args:
        flat: (B, H) bool by layer.
        title: of the picture.
    """
    figure, axes = _figure(title, (WIDTH, 0.8 * len(flat) + 0.6), left=0.12, right=0.98)
    axes.grid(False)
    maps, middles, gap, height = [], [], 2, 0
    for t in flat.values():
        shown = torch.nn.functional.pad(t.cpu().float(), (0, _widest(flat) - t.size(1)), value=0.5)
        maps += [shown, torch.full((gap, shown.size(1)), 0.5)]
        middles.append(height + len(t) / 2)
        height += len(t) + gap
    if maps:
        whole = torch.cat(maps[:-1]).numpy()
        axes.imshow(whole, cmap="gray", vmin=0, vmax=1, aspect="auto", interpolation="nearest")
    axes.set_yticks(middles, list(flat), fontsize=7)
    axes.set_xlabel("unit", fontsize=8)
    return _png(figure)


def _widest(flat: dict[str, Tensor]) -> int:
    return max(t.size(1) for t in flat.values())


def embedding(weight: Tensor, characters: Iterable[str]) -> Picture:
    """The characters in the plane, by their embeddings or the two principal directions of them.

    Vowels have a colour of their own.

    Of more than a hundred characters, the ones farthest from the middle have labels.

    Args:
        weight: (V, C), the embedding of each character.
        characters: the V characters.
    """
    points = weight.detach().float().cpu()
    title = "embedding"
    if points.size(1) == 1:
        points = torch.cat([points, torch.zeros_like(points)], 1)
    if points.size(1) > 2:
        points = points - points.mean(0)
        _, scale, directions = torch.linalg.svd(points, full_matrices=False)
        points = points @ directions[:2].T
        share = float(scale[:2].square().sum() / scale.square().sum())
        title = f"embedding: two principal directions, {share:.0%} of the variance"
    figure, axes = _figure(title, (5.0, 5.0), right=0.97)
    across, up = points.T.tolist()
    many = len(points) > MOST_LABELS
    characters = list(characters)
    colours = ["orange" if is_vowel(c) else colormaps["viridis"](0.75) for c in characters]
    axes.scatter(across, up, s=10 if many else 160, color=colours)
    if many:
        axes.set_title(f"{title}; the outermost {MOST_LABELS} have labels", fontsize=7)
    outermost = (
        (points - points.mean(0)).norm(dim=1).nan_to_num().topk(min(len(points), MOST_LABELS))
    )
    labelled = set(outermost.indices.tolist())
    for i, ((x, y), character) in enumerate(zip(points.tolist(), characters, strict=False)):
        if i in labelled:
            text = label(character)
            size = 9 if len(text) == 1 else 5
            axes.text(x, y, text, ha="center", va="center", fontsize=size, parse_math=False)
    return _png(figure)


def is_vowel(character: str) -> bool:
    """Whether it is a Latin vowel, with or without accents."""
    return normalize("NFD", character)[0].lower() in "aeiou"


def label(character: str) -> str:
    """The character if the font can show it alone, else its code point: "U+4E2D"."""
    font = get_font(findfont(FontProperties()))
    alone = category(character)[0] not in "CMZ"  # no control, combining mark or white space
    if character == " ":
        return "␣"
    return character if alone and font.get_char_index(ord(character)) else f"U+{ord(character):04X}"


def _figure(
    title: str,
    size: tuple[float, float] = (WIDTH, HEIGHT),
    left: float = 0.08,
    right: float = 0.74,  # leaves room for the legend
) -> tuple[Figure, Axes]:
    figure = Figure(figsize=size, dpi=DPI)
    # Fixed margins: a layout engine would draw everything twice.
    bottom, top = 0.4 / size[1], 1 - 0.3 / size[1]
    axes = figure.add_axes((left, bottom, right - left, top - bottom))
    axes.set_title(title, fontsize=10)
    axes.tick_params(labelsize=8)
    axes.grid(alpha=0.25)
    return figure, axes


def _ramp(n: int) -> list[tuple[float, float, float, float]]:
    return [colormaps["viridis"](0.9 * i / max(n - 1, 1)) for i in range(n)]


def _legend(axes: Axes, n: int) -> None:
    if n:
        axes.legend(fontsize=6 if n > 8 else 7, loc="upper left", bbox_to_anchor=(1.0, 1.0))


def _png(figure: Figure) -> Picture:
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    width, height = canvas.get_width_height()
    file = BytesIO()
    rgba = Image.frombuffer("RGBA", (width, height), canvas.buffer_rgba(), "raw", "RGBA", 0, 1)
    rgba.convert("RGB").save(file, "PNG", compress_level=1)
    return height, width, file.getvalue()

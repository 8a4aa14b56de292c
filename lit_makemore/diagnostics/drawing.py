"""The lecture's pictures, each a matplotlib Figure, of what a probe has seen."""

from collections.abc import Sequence
from io import BytesIO
from itertools import accumulate
from typing import Any
from unicodedata import category, normalize

import numpy as np
import torch
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font
from torch import Tensor
from torch.nn.functional import pad

from lit_makemore.diagnostics.figures import GUIDE, Figures
from lit_makemore.diagnostics.probe import SATURATED, Probe
from lit_makemore.diagnostics.tensorboard import some

WIDTH, HEIGHT, DPI = 4.6, 2.5, 150
LARGE, SMALL = 8.5, 7.5  # letters, in points; TensorBoard shows a picture at half its width
BINS, GAP = 50, 2  # of a density; rows between the maps of layers
MOST_LABELS, MOST_NAMES = 100, 7
History = Sequence[tuple[int, Figures]]  # updates, each with its figures


class Drawing(Figure):
    """A Figure that a notebook shows whatever matplotlib's backend is."""

    def _repr_png_(self) -> bytes:
        file = BytesIO()
        self.savefig(file, format="png")
        return file.getvalue()


def pictures(probe: Probe, history: History, table: Any) -> dict[str, np.ndarray]:
    """All pictures by name; that of the embedding only if its table (V, C) is given."""
    found = {
        "1_activations": activations(probe),
        "2_gradients": gradients(probe),
        "3_weight_gradients": weight_gradients(probe),
        "4_update_ratios": updates(probe, history),
        "5_saturation": saturation(probe),
    }
    if table is not None:
        found["6_embedding"] = embedding(*table)
    return {f"pictures/{name}": pixels(figure) for name, figure in found.items()}


def pixels(figure: Figure) -> np.ndarray:
    """The picture as numbers (height, width, 3), uint8."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3]


def activations(probe: Probe) -> Figure:
    """The distribution of each activation layer's outputs."""
    limit = 1.0 if probe.saturating else None
    return densities(probe.activations, f"activations {probe.when}", "activation", limit)


def gradients(probe: Probe) -> Figure:
    """The distribution of the gradients of each activation layer's outputs."""
    return densities(probe.gradients, f"gradients {probe.when}", "gradient of an activation")


def weight_gradients(probe: Probe) -> Figure:
    """The distribution of each weight's gradients."""
    title = f"gradients of weights {probe.when}"
    return densities(probe.weight_gradients, title, "gradient of a weight")


def densities(tensors: dict[str, Tensor], title: str, x: str, limit: float | None = None) -> Figure:
    """The distribution of each tensor's values, within ±limit or three of the largest σ."""
    figure, axes = _figure(title, x, "density")
    flat = {name: t.detach().float().flatten().cpu() for name, t in tensors.items()}
    finite = {k: t for k, t in flat.items() if t.numel() > 1 and bool(t.isfinite().all())}
    limit = limit or 3 * max((float(t.std()) for t in finite.values()), default=0.0) or 1.0
    centres = limit * (2 * torch.arange(BINS) + 1 - BINS) / BINS
    lines = {}
    for name, t in finite.items():
        counts = t.clamp(-limit, limit).histc(BINS, -limit, limit)
        heights = counts * (BINS / (2 * limit * len(t)))
        lines[f"{name.split('/')[0]}  {t.std():.2g}"] = centres, heights
    _plot(axes, lines, "layer, σ")
    axes.set_xlim(-limit, limit)
    return figure


def updates(probe: Probe, history: History) -> Figure:
    """log10 update ratios over the steps, a line for each weight, and the rule of thumb."""
    figure, axes = _figure("log10 of update over weight", "update", "log10")
    lines = {}
    for name in probe.weights:
        key = f"update_ratio/{name}"
        if points := [(step, found[key]) for step, found in history if key in found]:
            lines[name.split("/")[0]] = tuple(zip(*points, strict=True))
    guide = axes.axhline(GUIDE, color="black", linewidth=1, label=f"guide {GUIDE:.0f}")
    _plot(axes, lines, "weight", guide, marker=".", markersize=4)
    axes.set_xlim(left=0)
    return figure


def saturation(probe: Probe) -> Figure:
    """A map for each layer: a row an example, a column a unit, white if flat, red if dead."""
    white = "saturated or zero" if probe.saturating else "zero"
    if probe.saturating == probe.flat.keys():
        white = f"|t| > {SATURATED}"
    units = [t.flatten(1).cpu() for t in probe.flat.values()]
    dead = "; red: dead, flat on every example" if any(t.all(0).any() for t in units) else ""
    x, y = f"unit{dead}", "examples of each layer"
    figure, axes = _figure(f"white: {white}, {probe.when}", x, y, left=0.24, right=0.98)
    axes.grid(False)
    if not units:
        _say(axes, "the network has no activation layer")
        return figure
    widest = max(t.size(1) for t in units)
    maps = [pad(t + t.all(0).float(), (0, widest - t.size(1), 0, GAP), value=0.5) for t in units]
    colours = colormaps["gray"].with_extremes(over="red")
    whole = torch.cat(maps)[:-GAP].numpy()
    axes.imshow(whole, cmap=colours, vmin=0, vmax=1, aspect="auto", interpolation="nearest")
    tops, named = [0, *accumulate(map(len, maps))], some(len(maps), MOST_NAMES)
    places = [tops[i] + len(units[i]) / 2 for i in named]
    axes.set_yticks(places, [[*probe.flat][i].split("/")[0] for i in named])
    return figure


def embedding(weight: Tensor, characters: Sequence[str]) -> Figure:
    """The characters in the plane, by their embeddings (V, C) or two principal components."""
    points, n_embd = weight.detach().float().cpu(), weight.size(1)
    title, x, y = "embedding", "first number", "second number"
    finite = bool(points.isfinite().all())
    if n_embd == 1:
        points, y = pad(points, (0, 1)), ""
    elif n_embd > 2 and finite:
        points = points - points.mean(0)
        _, scale, directions = torch.linalg.svd(points, full_matrices=False)
        points = points @ directions[:2].T
        share = (scale.square() / scale.square().sum()).nan_to_num()
        x, y = (f"component {i + 1}: {share[i]:.0%} of the variance" for i in (0, 1))
        title = f"2 of {n_embd} principal components: {float(share[:2].sum()):.0%}"
    if many := len(points) > MOST_LABELS:
        title += f"; the outermost {MOST_LABELS} have labels"
    vowels = [len(c) == 1 and normalize("NFD", c)[0].lower() in "aeiou" for c in characters]
    if any(vowels):
        title += "; vowels red"
    figure, axes = _figure(title, x, y, 2 * HEIGHT if many else 1.2 * HEIGHT, right=0.98)
    if not finite:
        _say(axes, "the embedding has a NaN or an infinity")
        return figure
    colours = colormaps["Pastel1"]([0 if vowel else 1 for vowel in vowels])
    axes.scatter(points[:, 0], points[:, 1], s=8 if many else 110, color=colours)
    distances = (points - points.mean(0)).norm(dim=1)
    for i in sorted(distances.topk(min(len(points), MOST_LABELS)).indices.tolist()):
        text, (x, y) = label(characters[i]), points[i, :2].tolist()
        size = LARGE if len(text) == 1 else 5
        axes.text(x, y, text, ha="center", va="center", fontsize=size, parse_math=False)
    return figure


def label(character: str) -> str:
    """The character, or a name of several letters; "U+4E2D" if the font cannot show it alone."""
    if len(character) > 1 or character == " ":
        return "␣" if character == " " else character
    font = get_font(findfont(FontProperties()))
    alone = category(character)[0] not in "CMZ"  # no control, combining mark or white space
    return character if alone and font.get_char_index(ord(character)) else f"U+{ord(character):04X}"


def _figure(
    title: str, x: str, y: str, height: float = HEIGHT, left: float = 0.13, right: float = 0.7
) -> tuple[Figure, Axes]:
    """An empty picture, with room for a legend at its right."""
    figure = Drawing(figsize=(WIDTH, height), dpi=DPI)
    # Fixed margins: a layout engine would draw everything twice.
    bottom, top = 0.4 / height, 1 - 0.25 / height
    axes = figure.add_axes((left, bottom, right - left, top - bottom))
    axes.set_title(title, fontsize=LARGE)
    axes.set_xlabel(x, fontsize=SMALL, labelpad=1)
    axes.set_ylabel(y, fontsize=SMALL, labelpad=1)
    axes.tick_params(labelsize=SMALL, pad=2)
    axes.locator_params(nbins=5)
    axes.grid(alpha=0.25)
    return figure, axes


def _say(axes: Axes, why: str) -> None:
    axes.text(0.5, 0.65, why, ha="center", fontsize=LARGE, transform=axes.transAxes)


def _plot(axes: Axes, lines: dict[str, Any], title: str, *more: Any, **style: Any) -> None:
    """Lines from dark to light, by name, as (x, y); a legend of some of them, and of all others."""
    drawn = []
    if not lines:
        _say(axes, "nothing to draw: no such layer, no change,\nno method loss(batch), or a NaN")
    for i, (name, (x, y)) in enumerate(lines.items()):
        colour = colormaps["viridis"](0.9 * i / max(len(lines) - 1, 1))
        drawn += axes.plot(x, y, color=colour, label=name, **style)
    if named := [*(drawn[i] for i in sorted(some(len(drawn), MOST_NAMES))), *more]:
        axes.legend(
            handles=named, title=title, fontsize=SMALL, title_fontsize=SMALL,
            loc="upper left", bbox_to_anchor=(1.0, 1.03), handlelength=0.7, handletextpad=0.4,
            borderpad=0.2, labelspacing=0.25, frameon=False,
        )  # fmt: skip

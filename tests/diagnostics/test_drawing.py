from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image

from lit_makemore.diagnostics import drawing
from lit_makemore.diagnostics.drawing import pixels
from lit_makemore.diagnostics.probe import Probe


def colours(figure) -> int:
    return len(np.unique(pixels(figure).reshape(-1, 3), axis=0))


LAYER, NOT_FINITE = torch.ones(4, 4, dtype=torch.bool), torch.full((3, 2), torch.nan)
WEIGHT = Probe(weights={"a": torch.zeros(0)})


@pytest.mark.parametrize(
    ("draw", "why"),
    [
        (lambda: drawing.densities({}, "t", "x"), "nothing to draw"),
        (lambda: drawing.densities({"a": NOT_FINITE}, "t", "x"), "or a NaN"),
        (lambda: drawing.updates(WEIGHT, []), "no change"),
        (lambda: drawing.saturation(Probe()), "the network has no activation layer"),
        (lambda: drawing.embedding(NOT_FINITE, "abc"), "the embedding has a NaN or an infin"),
        (lambda: drawing.densities({"a": torch.zeros(5)}, "t", "x"), None),
        (lambda: drawing.updates(WEIGHT, [(1, {"update_ratio/a": -3.0})]), None),
        (lambda: drawing.saturation(Probe(flat={"layer": LAYER})), None),
        (lambda: drawing.saturation(Probe(flat={"layer": ~LAYER})), None),
        (lambda: drawing.embedding(torch.randn(3, 2), "abc"), None),
    ],
)
def test_only_an_empty_picture_says_why(monkeypatch, draw, why):
    texts = []
    monkeypatch.setattr(drawing, "_say", lambda axes, why: texts.append(why))
    pixels(draw())
    assert len(texts) == (why is not None)
    assert all(why in text for text in texts)


def test_vowels_with_any_accent_have_a_colour_of_their_own():
    characters = ".aeéÜxß中y"
    (points,) = drawing.embedding(torch.randn(9, 2), characters).axes[0].collections
    red = points.get_facecolors()[1]
    shown = zip(characters, points.get_facecolors(), strict=True)
    assert [c for c, colour in shown if (colour == red).all()] == [*"aeéÜ"]


def test_every_layer_has_a_line_of_its_own_colour():
    torch.manual_seed(1)
    few = drawing.densities({"a": torch.randn(500)}, "t", "x", 3.0)
    many = drawing.densities({name: torch.randn(500) for name in "abcdef"}, "t", "x", 3.0)
    assert colours(many) > colours(few)
    # ratios may miss a step
    history = [(1, {"update_ratio/a": -3.0}), (50, {"update_ratio/a": -2.5, "update_ratio/b": -2})]
    both = Probe(weights=dict.fromkeys("ab", torch.zeros(0)))
    assert colours(drawing.updates(both, history)) > 10


def test_a_unit_that_is_flat_on_every_example_is_red():
    one, other = torch.zeros(2, 8, 10, dtype=torch.bool)
    one[1:, 2] = True  # saturated but for one example
    dark = pixels(drawing.saturation(Probe(flat={"a": other, "b": other})))
    alive = drawing.saturation(Probe(flat={"a": one, "b": other}))
    assert (pixels(alive) == 255).all(2).sum() > (dark == 255).all(2).sum()
    other[:, 7] = True
    dead = drawing.saturation(Probe(flat={"a": one, "b": other}))
    red = [(pixels(figure) == (255, 0, 0)).all(2).any(0).sum() for figure in (alive, dead)]
    assert red[0] == 0
    assert red[1] == pytest.approx(drawing.WIDTH * drawing.DPI * 0.74 / 10, abs=2)
    assert [figure.axes[0].get_xlabel() for figure in (alive, dead)] == [
        "unit", "unit; red: dead, flat on every example",
    ]  # fmt: skip


def test_characters_that_the_font_lacks_are_code_points_and_cause_no_warning():
    """Warnings are errors here."""
    characters = ["end", *".aé中🇩 \u0301\u200d"]
    drawing.embedding(torch.randn(len(characters), 3), characters)
    shown = [drawing.label(character) for character in characters]
    assert shown == ["end", ".", "a", "é", "U+4E2D", "U+1F1E9", "␣", "U+0301", "U+200D"]


def test_of_many_characters_the_outermost_are_labelled(monkeypatch):
    texts = []
    monkeypatch.setattr(drawing, "label", lambda character: texts.append(character) or "x")
    characters = [chr(0x4E00 + i) for i in range(500)]
    weight = torch.arange(500.0)[:, None].expand(-1, 2) * torch.tensor([1.0, -1.0])
    drawing.embedding(weight, characters)
    assert texts == characters[:50] + characters[-50:]


@pytest.mark.parametrize("n_embd", [1, 2, 10])
def test_an_embedding_of_any_size_is_shown_in_the_plane(n_embd):
    assert colours(drawing.embedding(torch.randn(5, n_embd), ".abcd")) > 10


def test_a_notebook_shows_a_figure_whatever_the_backend_is():
    figure = drawing.saturation(Probe(flat={"layer": LAYER}))
    shown = Image.open(BytesIO(figure._repr_png_())).convert("RGB")
    assert np.array_equal(np.asarray(shown), pixels(figure))
    assert figure.axes[0].get_title() == "white: zero, in one minibatch"

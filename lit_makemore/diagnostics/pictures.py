"""When the lecture's pictures are drawn, and what they show."""

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import lightning.pytorch as pl
from torch import Tensor, nn

from lit_makemore.diagnostics.figures import GUIDE, Figures
from lit_makemore.diagnostics.probe import SATURATED, Probe, network_of
from lit_makemore.diagnostics.tensorboard import Events, Picture, write
from lit_makemore.words.vocab import Vocabulary

History = Sequence[tuple[int, Figures]]  # update, and figures

_ARTIST = ThreadPoolExecutor(1)  # has no thread before the first pictures


class Pictures:
    """Draws what a probe has seen, and writes as images:

        pictures/1_activations       density of each layer's activations
        pictures/2_gradients         density of the loss's gradient with respect to them
        pictures/3_weight_gradients  density of its gradient with respect to each weight
        pictures/4_update_ratios     log10 of update over weight, over the steps, and the -3 line
        pictures/5_saturation        white where units are saturated (ReLU: zero), examples × units
        pictures/6_embedding         the characters in the plane, or two principal components

    A thread draws, because six pictures take a third of a second; they are written once they are
    drawn.

    Attributes:
        drawn_at: the update after which the last ones were drawn.
    """

    def __init__(self) -> None:
        self.drawn_at = 0
        self._drawing: Future[dict[str, Picture]] | None = None

    def draw(self, trainer: pl.Trainer, module: Any, probe: Probe | None, history: History) -> None:
        """Begins pictures of a probe, and of the update ratios until then."""
        self.write(trainer)
        self.drawn_at = trainer.global_step
        if probe is None or not trainer.is_global_zero or not trainer.loggers:
            return
        table, vocab = (
            getattr(network_of(module), "embedding", None),
            getattr(module, "vocab", None),
        )
        embedding = None
        if isinstance(table, nn.Embedding) and isinstance(vocab, Vocabulary):
            embedding = table.weight.detach().clone(), vocab.labels
        weights = {f"update_ratio/{name}": name for name in probe.weights}
        ratios = [
            (step, {name: found[key] for key, name in weights.items() if key in found})
            for step, found in history
        ]
        self._drawing = _ARTIST.submit(_draw, probe, ratios, embedding)

    def write(self, trainer: pl.Trainer, wait: bool = True) -> None:
        """Writes pictures that are drawn; waits for those that a thread draws, or does not."""
        if self._drawing is not None and (wait or self._drawing.done()):
            drawn, self._drawing = self._drawing, None
            write(trainer, self.drawn_at, Events(pictures=drawn.result()))


def _draw(
    probe: Probe, ratios: History, embedding: tuple[Tensor, list[str]] | None
) -> dict[str, Picture]:
    """The pictures by name.

    Args:
        probe: what is drawn.
        ratios: log10 update ratios by weight until then.
        embedding: (V, C), and the V characters.
    """
    # Imported here: matplotlib takes half a second, which a run without pictures saves.
    from lit_makemore.diagnostics import drawing

    when = f"before update {ratios[-1][0]:,}"
    limit = 1.0 if probe.saturating else None
    white = "saturated or zero" if probe.saturating else "zero"
    if probe.saturating == probe.flat.keys():
        white = f"|t| > {SATURATED}"
    found = {
        "1_activations": drawing.densities(
            probe.activations, f"activations {when}", "activation", limit
        ),
        "2_gradients": drawing.densities(
            probe.gradients, f"gradients {when}", "gradient of an activation"
        ),
        "3_weight_gradients": drawing.densities(
            probe.weight_gradients, f"gradients of weights {when}", "gradient of a weight"
        ),
        "4_update_ratios": drawing.ratios(ratios, GUIDE),
        "5_saturation": drawing.saturation(probe.flat, f"white: {white}, {when}"),
    }
    if embedding is not None:
        found["6_embedding"] = drawing.embedding(*embedding)
    return {f"pictures/{name}": picture for name, picture in found.items()}

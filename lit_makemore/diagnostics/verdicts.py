"""What the figures say: is the network healthy, and if not, what to try.

Pure functions of the figures that the monitors write. The bands separate healthy networks from
sick ones on names.txt (docs/diagnostics.md).
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from math import isfinite

CHECKS = (
    "nan", "initial_loss", "loss", "saturation", "dead", "depth", "gradient", "update_ratio",
    "batch_norm",
)  # fmt: skip


@dataclass(frozen=True)
class Bands:
    """Where each figure is healthy.

    Args:
        initial_loss: largest healthy loss before the first update, in nats above ln V.
        loss: largest healthy loss later, in nats above ln V.
        saturation: largest healthy share of saturated values in a layer, in %, early in the run.
        dead: largest healthy share of dead units in a layer, in %, early in the run.
        depth: smallest healthy ratio of the smallest to the largest standard deviation of the
            layers' activations, before the first update.
        gradient: largest healthy ratio of the largest to the smallest standard deviation of the
            activations' gradients, before the first update.
        update_ratio: healthy range of log10 of change over weight, for hidden weights, while lr
            is at least half of its peak.
        batch_norm: largest healthy distance of the minibatch's mean from the running mean, in
            running standard deviations.
    """

    initial_loss: float = 0.8
    loss: float = 1.0
    saturation: float = 10.0
    dead: float = 0.5
    depth: float = 0.7
    gradient: float = 20.0
    update_ratio: tuple[float, float] = (-4.0, -1.5)
    batch_norm: float = 1.0


@dataclass(frozen=True)
class Verdict:
    """The result of one check at one step.

    Args:
        check: its name, one of CHECKS.
        healthy: whether the figure is in its band.
        text: the figure, where it was found, and its band.
        advice: what to try if the figure is not healthy.
    """

    check: str
    healthy: bool
    text: str
    advice: str


ADVICE = {
    "nan": "a lower model.lr, trainer.gradient_clip_val 1.0 or trainer.precision 32-true",
    "initial_loss": "a smaller model.init.logits_gain, so that the first guess is nearly uniform",
    "loss": "a lower model.lr, or trainer.gradient_clip_val 1.0",
    "saturation": "model.batch_norm true, or a smaller model.init.gain",
    "dead": "a lower model.lr, model.batch_norm true or a smaller model.init.gain",
    "depth": "model.batch_norm true, or a model.init.gain of 5/3 for tanh",
    "gradient": "model.batch_norm true, or a model.init.gain of 5/3 for tanh",
    "batch_norm": "a larger data.batch_size, or a lower model.lr",
}


def judge(
    figures: dict[str, float],
    step: int,
    bands: Bands,
    uniform: float | None,
    hidden: Collection[str] = (),
    early: int = 1000,
    full_rate: bool = True,
) -> Iterator[Verdict]:
    """The verdicts of all checks that apply at a step; `nan` is not among them.

    Args:
        figures: the monitors' figures by tag, and "loss" of the minibatch.
        step: number of the update that they belong to, from 1.
        bands: what is healthy.
        uniform: ln V, the loss of guessing; None if unknown: the loss is not judged.
        hidden: names of the hidden weights, whose update ratio is judged (see Probe).
        early: saturation and dead units are judged up to this step. Later, saturation grows in
            every healthy run.
        full_rate: whether lr is near its peak; only then are updates judged.
    """
    loss = figures.get("loss")
    if loss is not None and uniform is not None and isfinite(loss):
        if step == 1:
            yield _loss("initial_loss", loss, uniform + bands.initial_loss)
        elif step >= 50:
            yield _loss("loss", loss, uniform + bands.loss)
    if step <= early:
        if found := _under("activation_saturated", figures):
            yield _share("saturation", found, "values are saturated", bands.saturation)
        if found := _under("activation_dead", figures):
            yield _share("dead", found, "units are dead", bands.dead)
    if step == 1:
        stds = _under("activation_std", figures)
        if stds and max(stds.values()) > 0:
            yield _depth(stds, bands.depth)
        gradients = _under("gradient_std", figures)
        if gradients and min(gradients.values()) > 0:
            yield _gradient(gradients, bands.gradient)
    if full_rate:
        ratios = _under("update_ratio", figures)
        judged = {name: ratios[name] for name in hidden if name in ratios}
        if judged:
            yield _update_ratio(judged, bands.update_ratio)
    if step >= 100 and (drifts := _under("batch_norm_drift", figures)):
        yield _batch_norm(drifts, bands.batch_norm)


def _loss(check: str, loss: float, limit: float) -> Verdict:
    text = f"loss {loss:.2f} (healthy: at most {limit:.2f})"
    return Verdict(check, loss <= limit, text, ADVICE[check])


def _share(check: str, shares: dict[str, float], what: str, limit: float) -> Verdict:
    layer, share = _largest(shares)
    text = f"{layer}: {share:.2f} % of the {what} (healthy: at most {limit:g} %)"
    return Verdict(check, share <= limit, text, ADVICE[check])


def _depth(stds: dict[str, float], limit: float) -> Verdict:
    layer = min(stds, key=lambda name: stds[name])
    kept = stds[layer] / max(stds.values())
    text = (
        f"the weakest layer ({layer}) keeps {100 * kept:.0f} % of the strongest layer's spread "
        f"(healthy: {100 * limit:g} % or more)"
    )
    return Verdict("depth", kept >= limit, text, ADVICE["depth"])


def _gradient(stds: dict[str, float], limit: float) -> Verdict:
    layer, largest = _largest(stds)
    factor = largest / min(stds.values())
    text = (
        f"the strongest gradient ({layer}) is {factor:.2f} times the weakest "
        f"(healthy: at most {limit:g} times)"
    )
    return Verdict("gradient", factor <= limit, text, ADVICE["gradient"])


def _update_ratio(ratios: dict[str, float], band: tuple[float, float]) -> Verdict:
    low, high = band
    weight = max(ratios, key=lambda name: abs(ratios[name] - (low + high) / 2))
    ratio = ratios[weight]
    text = (
        f"an update is 10^{ratio:.1f} times the size of {weight} "
        f"(healthy: 10^{low:.1f} to 10^{high:.1f})"
    )
    advice = "a higher model.lr" if ratio < low else "a lower model.lr"
    return Verdict("update_ratio", low <= ratio <= high, text, advice)


def _batch_norm(drifts: dict[str, float], limit: float) -> Verdict:
    layer, drift = _largest(drifts)
    text = (
        f"batch mean is {drift:.2f} standard deviations from the running mean of {layer} "
        f"(healthy: below {limit:g})"
    )
    return Verdict("batch_norm", drift <= limit, text, ADVICE["batch_norm"])


def _largest(figures: dict[str, float]) -> tuple[str, float]:
    name = max(figures, key=lambda name: figures[name])
    return name, figures[name]


def _under(group: str, figures: dict[str, float]) -> dict[str, float]:
    """The finite figures <group>/<name>, by name."""
    return {
        tag.removeprefix(f"{group}/"): value
        for tag, value in figures.items()
        if tag.startswith(f"{group}/") and isfinite(value)
    }

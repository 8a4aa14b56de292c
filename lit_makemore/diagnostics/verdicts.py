"""What the figures say about the inside of the network: is it healthy, and if not, what to try.

Pure functions of the figures that the monitors write. The bands separate healthy networks from
sick ones (docs/verdicts.md).
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from math import inf, isfinite, isnan
from typing import Any

from lit_makemore.diagnostics.advice import advice

CHECKS = {  # each with when it is judged
    "nan": "at every probe",
    "initial_loss": "at update 1, where the vocabulary is known",
    "loss": "from update 50 on, where the vocabulary is known",
    "saturation": "early in the run, in layers that are flat at both ends, as tanh is",
    "dead": "early in the run, where there are activation layers",
    "depth": "at update 1, where there are activation layers",
    "gradient": "at updates 1 and 10, where the gradients of activations are known",
    "update_ratio": "while lr is at least half of its peak, where there are hidden weights",
    "batch_norm": "from update 100 on, where there are BatchNorm layers",
    "overfit": "from the second probe on, where the words of the run are known",
    "baseline": "from update 1,000 on and at the end, where the words of the run are known",
    "memorised": "at validations, where the words of the run are known",
}


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
        overfit: largest healthy rise of the val loss above its lowest, in nats; it counts only as
            far as train is below that lowest.
        baseline: smallest healthy distance of the val loss below that of counting single
            characters (unigram), in nats.
        memorised: largest healthy share of the samples that are training words, in %, beyond what
            is natural for the list.
    """

    initial_loss: float = 0.8
    loss: float = 1.0
    saturation: float = 30.0
    dead: float = 25.0
    depth: float = 0.7
    gradient: float = 20.0
    update_ratio: tuple[float, float] = (-4.0, -1.5)
    batch_norm: float = 1.0
    overfit: float = 0.2
    baseline: float = 0.01
    memorised: float = 25.0


@dataclass(frozen=True)
class Verdict:
    """The result of one check at one step.

    Args:
        check: its name, one of CHECKS.
        healthy: whether the figure is in its band; None: it was never judged.
        text: the figure, where it was found, and its band.
        advice: what to try if the figure is not healthy.
    """

    check: str
    healthy: bool | None
    text: str
    advice: str


def judge(
    figures: dict[str, float],
    step: int,
    bands: Bands,
    uniform: float | None,
    hidden: Collection[str] = (),
    early: int = 1000,
    full_rate: bool = True,
    options: Mapping[str, Any] = {},
) -> Iterator[Verdict]:
    """The verdicts of the checks that apply at a step; not of nan, and not those of outcome.py.

    A spread, gradient or update of zero is the worst value that there is.

    Args:
        figures: the monitors' figures by tag, and "loss" of the minibatch.
        step: number of the update that they belong to, from 1.
        bands: what is healthy.
        uniform: ln V, the loss of guessing; None if unknown: the loss is not judged.
        hidden: names of the hidden weights, whose update ratio is judged (see Probe).
        early: saturation and dead units are judged up to this step. Later, saturation grows in
            every healthy run.
        full_rate: whether lr is near its peak; only then are updates judged.
        options: the run's, which advice depends on (see advice.options_of).
    """
    loss = figures.get("loss")
    if loss is not None and uniform is not None and isfinite(loss):
        if step == 1:
            yield _loss("initial_loss", loss, uniform + bands.initial_loss, options)
        elif step >= 50:
            yield _loss("loss", loss, uniform + bands.loss, options)
    if step <= early:
        if found := _under("activation_saturated", figures):
            yield _share(
                "saturation", found, "values are saturated", bands.saturation, step, options
            )
        if found := _under("activation_dead", figures):
            yield _share("dead", found, "units are dead", bands.dead, step, options)
    if step == 1 and (stds := _under("activation_std", figures)):
        yield _depth(stds, bands.depth, options)
    gradients = _under("gradient_std", figures)
    # A last layer that begins at zero lets no gradient through, and learns with the first update.
    blocked = step == 1 and bool(gradients) and max(gradients.values()) == 0
    if gradients and step in (1, 10) and not blocked:
        yield _gradient(gradients, bands.gradient, options)
    if full_rate and not blocked:
        ratios = _under("update_ratio", figures)
        if judged := {name: ratios[name] for name in hidden if name in ratios}:
            learnt = loss is not None and uniform is not None and loss < uniform / 2
            yield _update_ratio(judged, bands.update_ratio, learnt, options)
    if step >= 100 and (drifts := _under("batch_norm_drift", figures)):
        yield _batch_norm(drifts, bands.batch_norm, options)
    held_out = _under("held_out", figures)
    if step > 1 and {"train", "val", "lowest", "lowest_step"} <= held_out.keys():
        yield _overfit(held_out, bands.overfit, options)


def _loss(check: str, loss: float, limit: float, options: Mapping[str, Any]) -> Verdict:
    text = f"loss {loss:.2f} (healthy: at most {limit:.2f})"
    return Verdict(check, loss <= limit, text, advice(check, options))


def _share(
    check: str,
    shares: dict[str, float],
    what: str,
    limit: float,
    step: int,
    options: Mapping[str, Any],
) -> Verdict:
    layer, share = _largest(shares)
    text = f"{layer}: {share:.2f} % of the {what} (healthy: at most {limit:g} %)"
    return Verdict(check, share <= limit, text, advice(check, options, step))


def _depth(stds: dict[str, float], limit: float, options: Mapping[str, Any]) -> Verdict:
    layer, largest = min(stds, key=lambda name: stds[name]), max(stds.values())
    kept = stds[layer] / largest if largest else 0.0
    text = (
        f"the weakest layer ({layer}) keeps {100 * kept:.0f} % of the strongest layer's spread"
        if largest
        else "no layer has any spread: its outputs are all the same"
    )
    text += f" (healthy: {100 * limit:g} % or more)"
    return Verdict("depth", kept >= limit, text, advice("depth", options))


def _gradient(stds: dict[str, float], limit: float, options: Mapping[str, Any]) -> Verdict:
    layer, largest = _largest(stds)
    weakest = min(stds, key=lambda name: stds[name])
    factor = largest / stds[weakest] if stds[weakest] else inf
    text = (
        f"the strongest gradient ({layer}) is {factor:.2f} times the weakest"
        if stds[weakest]
        else f"no gradient reaches {weakest}"
    )
    text += f" (healthy: at most {limit:g} times)"
    return Verdict("gradient", factor <= limit, text, advice("gradient", options))


def _update_ratio(
    ratios: dict[str, float],
    band: tuple[float, float],
    learnt: bool,
    options: Mapping[str, Any],
) -> Verdict:
    """Where the minibatch is learnt, there are no gradients left: small updates are no fault."""
    low, high = band
    weight = max(ratios, key=lambda name: abs(ratios[name] - (low + high) / 2))
    ratio = ratios[weight]
    healthy = ratio <= high and (learnt or ratio >= low)
    text = (
        f"an update is 10^{ratio:.1f} times the size of {weight}"
        if isfinite(ratio)
        else f"an update leaves {weight} as it was"
    )
    text += f" (healthy: 10^{low:.1f} to 10^{high:.1f}"
    text += "; no fault: the minibatch is learnt)" if healthy and ratio < low else ")"
    end = "low" if ratio < low else "high"
    return Verdict("update_ratio", healthy, text, advice(f"update_ratio_{end}", options))


def _batch_norm(drifts: dict[str, float], limit: float, options: Mapping[str, Any]) -> Verdict:
    layer, drift = _largest(drifts)
    text = (
        f"batch mean is {drift:.2f} standard deviations from the running mean of {layer} "
        f"(healthy: below {limit:g})"
    )
    return Verdict("batch_norm", drift <= limit, text, advice("batch_norm", options))


def _overfit(losses: dict[str, float], limit: float, options: Mapping[str, Any]) -> Verdict:
    """Val has risen from its lowest, and train is far below that."""
    train, val, lowest = losses["train"], losses["val"], losses["lowest"]
    text = (
        f"val {val:.2f} is {val - lowest:.2f} above its lowest, {lowest:.2f} at update "
        f"{losses['lowest_step']:,.0f}; train {train:.2f} is {lowest - train:.2f} below that "
        f"(healthy: one of the two at most {limit:g})"
    )
    healthy = min(val - lowest, lowest - train) <= limit
    return Verdict("overfit", healthy, text, advice("overfit", options))


def _largest(figures: dict[str, float]) -> tuple[str, float]:
    name = max(figures, key=lambda name: figures[name])
    return name, figures[name]


def _under(group: str, figures: dict[str, float]) -> dict[str, float]:
    """The figures <group>/<name>, by name; neither NaN nor too large for a number."""
    return {
        tag.removeprefix(f"{group}/"): value
        for tag, value in figures.items()
        if tag.startswith(f"{group}/") and not isnan(value) and value < inf
    }

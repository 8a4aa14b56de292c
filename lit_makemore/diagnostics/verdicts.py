"""What the figures say: is the network healthy, and if not, what to try.

Pure functions of the figures that the observers write; the numbers are those of healthy and sick
networks on names.txt (docs/diagnostics.md).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import isfinite

import torch
from torch import Tensor, nn

from lit_makemore.diagnostics.probe import Observation, labels

CHECKS = (
    *("nan", "initial_loss", "loss", "saturation", "dead"),
    *("depth", "gradient", "update_ratio", "batch_norm"),
)


@dataclass(frozen=True)
class Bands:
    """Where a figure is healthy.

    Args:
        initial_loss: nats that the loss may lie above ln V before the first update.
        loss: nats that it may lie above ln V later.
        saturation: % of a layer's activations that may be saturated early in the run.
        dead: % of a layer's units that may be dead early in the run.
        depth: smallest over largest standard deviation of the layers' activations at the start.
        gradient: largest over smallest standard deviation of their gradients at the start.
        update_ratio: log10 of change over weight, of hidden weights at half the peak rate or more.
        batch_norm: distance of minibatch and running mean, in running standard deviations.
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
    """One check at one step.

    Args:
        check: its name, one of CHECKS.
        healthy: whether the figure is in its band.
        text: the figure, where it was found, and its band.
        advice: what to try if it is not.
    """

    check: str
    healthy: bool
    text: str
    advice: str


ADVICE = {
    "nan": "a lower model.lr, model.clip_norm 1.0 or trainer.precision 32-true",
    "initial_loss": "a smaller model.init.logits_gain, so that the first guess is nearly uniform",
    "loss": "a lower model.lr, or model.clip_norm 1.0",
    "saturation": "model.batch_norm true, or a smaller model.init.gain",
    "dead": "a lower model.lr, model.batch_norm true or a smaller model.init.gain",
    "depth": "model.batch_norm true, or a model.init.gain of 5/3 for tanh",
    "gradient": "model.batch_norm true, or a model.init.gain of 5/3 for tanh",
    "batch_norm": "a larger data.batch_size, or a lower model.lr",
}


def judge(
    values: dict[str, float],
    step: int,
    bands: Bands,
    uniform: float,
    early: int = 1000,
    full_rate: bool = True,
) -> Iterator[Verdict]:
    """The checks that apply at a step.

    Args:
        values: the observers' figures by tag, and "loss" of the minibatch.
        step: number of the update that they belong to, from 1.
        bands: what is healthy.
        uniform: ln V.
        early: updates that count as the beginning; saturation grows in every healthy run.
        full_rate: whether the learning rate is near its peak.
    """
    loss = values.get("loss")
    if loss is not None and isfinite(loss):
        if step == 1:
            yield _at_most("initial_loss", loss, uniform + bands.initial_loss, "loss")
        elif step >= 50:
            yield _at_most("loss", loss, uniform + bands.loss, "loss")
    if step <= early:
        for check, tag in (("saturation", "activation_saturated"), ("dead", "activation_dead")):
            if found := _under(tag, values):
                where = max(found, key=lambda name: found[name])
                yield _at_most(check, found[where], getattr(bands, check), where, " %")
    if step == 1:
        stds = _under("activation_std", values)
        if stds and max(stds.values()) > 0:
            low = min(stds, key=lambda name: stds[name])
            share = stds[low] / max(stds.values())
            text = f"{low} has {share:.2f} times the largest std (at least {bands.depth:.2f})"
            yield Verdict("depth", share >= bands.depth, text, ADVICE["depth"])
        gradients = _under("gradient_std", values)
        if gradients and min(gradients.values()) > 0:
            where = max(gradients, key=lambda name: gradients[name])
            factor = gradients[where] / min(gradients.values())
            yield _at_most("gradient", factor, bands.gradient, where, " times the smallest std")
    if full_rate:
        yield from _update_ratio(values, bands.update_ratio)
    if step >= 100 and (found := _under("batch_norm_drift", values)):
        where = max(found, key=lambda name: found[name])
        yield _at_most("batch_norm", found[where], bands.batch_norm, where, " running std")


def _update_ratio(values: dict[str, float], band: tuple[float, float]) -> Iterator[Verdict]:
    """Of hidden weights: of those grad_to_data names, the first embeds, the last is the logits'."""
    weights = list(_under("grad_to_data", values))[1:-1]
    ratios = _under("update_ratio", values)
    found = {name: ratios[name] for name in weights if name in ratios}
    if found:
        low, high = band
        middle = (low + high) / 2
        where = max(found, key=lambda name: abs(found[name] - middle))
        text = f"{where} 10^{found[where]:.1f} (10^{low:.1f} to 10^{high:.1f})"
        healthy = low <= found[where] <= high
        advice = "a higher model.lr" if found[where] < low else "a lower model.lr"
        yield Verdict("update_ratio", healthy, text, advice)


def _at_most(check: str, value: float, limit: float, where: str, unit: str = "") -> Verdict:
    text = f"{where} {value:.2f}{unit} (at most {limit:.2f})"
    return Verdict(check, value <= limit, text, ADVICE[check])


def _under(tag: str, values: dict[str, float]) -> dict[str, float]:
    """The finite figures tag/<name> by name, guide lines left out."""
    return {
        name.split("/", 1)[1]: value
        for name, value in values.items()
        if name.startswith(f"{tag}/") and isfinite(value) and not name.endswith("/guide")
    }


def listed(found: list[str]) -> str:
    """The first few of these names, and how many more there are."""
    return ", ".join(found[:4]) + (f" and {len(found) - 4} more" if found[4:] else "")


def faults(net: nn.Module, seen: Observation | None = None) -> list[str]:
    """The names of all tensors with a NaN or an infinity: of a pass, parameters and buffers."""
    looked_at = [*net.parameters(), *(b for b in net.buffers() if b.is_floating_point())]
    if seen is not None:
        passed = (seen.activations, seen.gradients, seen.weight_gradients)
        looked_at += [t for tensors in passed for t in tensors.values()]
        looked_at += [] if seen.loss is None else [seen.loss]
    with torch.no_grad():  # one look at all of them, as long as they are well
        if torch.stack([t.sum().double() for t in looked_at]).isfinite().all():
            return []
    found = []
    if seen is not None:
        if seen.loss is not None and not seen.loss.isfinite():
            found.append("the loss")
        for kind, tensors in (
            ("activation", seen.activations),
            ("gradient of", seen.gradients | seen.weight_gradients),
        ):
            found += [f"{kind} {name}" for name, t in tensors.items() if not t.isfinite().all()]
    state: list[tuple[str, dict[str, Tensor]]] = [
        ("parameter", dict(net.named_parameters())),
        ("", dict(net.named_buffers())),
    ]
    for kind, tensors in state:
        names = labels(tensors)
        found += [
            f"{kind} {names[name]}".strip()
            for name, t in tensors.items()
            if t.is_floating_point() and not t.isfinite().all()
        ]
    return found

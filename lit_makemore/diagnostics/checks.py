"""What the figures say about a network: is it healthy, and if not, what to try.

A check is one object: when it is judged, its band, its text, its remedies. A spread, gradient or
update of zero is the worst value that there is. The bands separate healthy networks from sick ones
(docs/verdicts.md).
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from math import inf, isfinite, isnan
from typing import Any, NamedTuple

import lightning.pytorch as pl

from lit_makemore.diagnostics.figures import Figures, listed
from lit_makemore.diagnostics.words import Known

GAINS = {"tanh": (5 / 3, "5/3 for tanh"), "relu": (2**0.5, "√2 for ReLU"), "linear": (1.0, "1")}
BN_DEFAULT = "model.init.bn_gain 1 with model.init.bn_bias 0"
# What a check may need, and what is said of a run that does not have it.
LOSS = "the module has no method loss(batch)"
VOCAB = "the module has no vocab"
WORDS = "the Trainer has no NamesDataModule, or the module not its vocab"


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
class Seen:
    """What the checks read, after an update that was probed or after a validation.

    Args:
        step: number of the update, from 1.
        bands: what is healthy.
        options: the run's, which remedies depend on (see `options_of`).
        figures: of the probe and the update (see figures.py).
        nonfinite: names of the tensors that hold a NaN or an infinity; None: not looked for.
        uniform: ln V, the loss of guessing; None if unknown: the loss is not judged.
        hidden: names of the hidden weights, whose update ratio is judged.
        early: saturation and dead units are judged up to this step. Later, saturation grows in
            every healthy run.
        full_rate: whether lr is near its peak; only then are updates judged.
        val: the val loss of a validation, in nats.
        counts: the val losses of the count models, by name.
        known: what samples are.
    """

    step: int
    bands: Bands = Bands()
    options: Mapping[str, Any] = field(default_factory=dict)
    figures: Figures = field(default_factory=dict)
    nonfinite: list[str] | None = None
    uniform: float | None = None
    hidden: Collection[str] = ()
    early: int = 1000
    full_rate: bool = True
    val: float | None = None
    counts: Mapping[str, float] = field(default_factory=dict)
    known: Known | None = None

    def under(self, group: str) -> Figures:
        """The figures <group>/<name>, by name; neither NaN nor too large for a number."""
        return {
            name.removeprefix(f"{group}/"): value
            for name, value in self.figures.items()
            if name.startswith(f"{group}/") and not isnan(value) and value < inf
        }

    @property
    def blocked(self) -> bool:
        """Whether a last layer that begins at zero lets no gradient through yet."""
        gradients = self.under("gradient_std").values()
        return self.step == 1 and bool(gradients) and max(gradients) == 0


class Found(NamedTuple):
    """A figure with its band in words, and one to three remedies that the run does not have yet."""

    healthy: bool
    text: str
    remedies: list[str]


@dataclass(frozen=True)
class Check:
    """A question about a network.

    Args:
        name: of the check.
        when: it is judged, in words.
        needs: what it needs of LOSS, VOCAB and WORDS.
        judge: its answer; None: not judged now.
    """

    name: str
    when: str
    needs: tuple[str, ...]
    judge: Callable[[Seen], Found | None]


@dataclass(frozen=True)
class Verdict:
    """The result of one check at one step.

    Args:
        check: its name.
        step: number of the update.
        healthy: whether the figure is in its band; None: it was never judged.
        text: the figure, where it was found, and its band.
        advice: what to try if the figure is not healthy.
    """

    check: str
    step: int
    healthy: bool | None
    text: str
    advice: str = ""


def judge(seen: Seen) -> list[Verdict]:
    """The verdicts of the checks that apply."""
    verdicts = []
    for check in CHECKS.values():
        if found := check.judge(seen):
            *others, last = found.remedies
            advice = f"{', '.join(others)} or {last}" if others else last
            verdicts.append(Verdict(check.name, seen.step, found.healthy, found.text, advice))
    return verdicts


CHECKS: dict[str, Check] = {}


def check(name: str, when: str, *needs: str) -> Callable[[Any], Check]:
    """Makes a check of the function that judges, and adds it to CHECKS."""
    return lambda judge: CHECKS.setdefault(name, Check(name, when, needs, judge))


@check("nan", "at every probe")
def finite(seen: Seen) -> Found | None:
    if (names := seen.nonfinite) is None:
        return None
    text = f"not finite: {listed(names)}" if names else "all numbers are finite"
    remedies = _slower(seen)
    if not str(seen.options.get("precision", "32")).startswith(("32", "64")):
        remedies.append("trainer.precision 32-true")
    return Found(not names, text, remedies)


@check("initial_loss", "at update 1, where the vocabulary is known", LOSS, VOCAB)
def initial_loss(seen: Seen) -> Found | None:
    layer = "logits_bn_gain" if seen.options.get("logits_batch_norm") else "logits_gain"
    remedy = f"a smaller model.init.{layer}, so that the first guess is nearly uniform"
    return _loss(seen, seen.bands.initial_loss, [remedy]) if seen.step == 1 else None


@check("loss", "from update 50 on, where the vocabulary is known", LOSS, VOCAB)
def later_loss(seen: Seen) -> Found | None:
    return _loss(seen, seen.bands.loss, _slower(seen)) if seen.step >= 50 else None


def _loss(seen: Seen, above: float, remedies: list[str]) -> Found | None:
    loss = seen.figures.get("loss")
    if loss is None or seen.uniform is None or not isfinite(loss):
        return None
    limit = seen.uniform + above
    return Found(loss <= limit, f"loss {loss:.2f} (healthy: at most {limit:.2f})", remedies)


def _slower(seen: Seen) -> list[str]:
    clips = seen.options.get("gradient_clip_val")
    return ["a lower model.lr", *([] if clips else ["trainer.gradient_clip_val 1.0"])]


@check("saturation", "early in the run, in layers that are flat at both ends, as tanh is")
def saturation(seen: Seen) -> Found | None:
    shares, limit = seen.under("activation_saturated"), seen.bands.saturation
    return _share(seen, shares, "values are saturated", limit, gain_helps=True)


@check("dead", "early in the run, where there are activation layers")
def dead(seen: Seen) -> Found | None:
    shares, limit = seen.under("activation_dead"), seen.bands.dead
    gain_helps = seen.options.get("activation") != "relu"
    return _share(seen, shares, "units are dead", limit, gain_helps)


def _share(seen: Seen, shares: Figures, what: str, limit: float, gain_helps: bool) -> Found | None:
    if seen.step > seen.early or not shares:
        return None
    layer, share = _largest(shares)
    text = f"{layer}: {share:.2f} % of the {what} (healthy: at most {limit:g} %)"
    options, later = seen.options, seen.step > 1
    remedies = ["a lower model.lr"] if later else []  # before the first update, lr is not to blame
    if not options.get("batch_norm"):  # which cancels the gain of the weights before it
        remedies += ["model.batch_norm true", *(["a smaller model.init.gain"] * gain_helps)]
    elif options.get("bn_gain", 1.0) > 1 or options.get("bn_bias", 0.0) != 0:
        remedies.append(BN_DEFAULT)
    elif not later:
        remedies.append("a larger data.batch_size")
    return Found(share <= limit, text, remedies)


@check("depth", "at update 1, where there are activation layers")
def depth(seen: Seen) -> Found | None:
    if seen.step != 1 or not (stds := seen.under("activation_std")):
        return None
    (layer, smallest), (_, largest), limit = _smallest(stds), _largest(stds), seen.bands.depth
    kept = smallest / largest if largest else 0.0
    text = (
        f"the weakest layer ({layer}) keeps {100 * kept:.0f} % of the strongest layer's spread"
        if largest
        else "no layer has any spread: its outputs are all the same"
    )
    text += f" (healthy: {100 * limit:g} % or more)"
    return Found(kept >= limit, text, _zeros(seen) or _even(seen))


@check("gradient", "at updates 1 and 10, where the gradients of activations are known", LOSS)
def gradient(seen: Seen) -> Found | None:
    stds = seen.under("gradient_std")
    if not stds or seen.step not in (1, 10) or seen.blocked:
        return None
    (layer, largest), (weakest, smallest), limit = (
        _largest(stds),
        _smallest(stds),
        seen.bands.gradient,
    )
    factor = largest / smallest if smallest else inf
    text = (
        f"the strongest gradient ({layer}) is {factor:.2f} times the weakest"
        if smallest
        else f"no gradient reaches {weakest}"
    )
    text += f" (healthy: at most {limit:g} times)"
    return Found(factor <= limit, text, _zeros(seen) or _even(seen))


def _zeros(seen: Seen) -> list[str]:
    """A remedy for each gain that is zero: then all units of a layer are the same for ever."""
    options, gains = seen.options, ["gain"]
    gains.append("logits_bn_gain" if options.get("logits_batch_norm") else "logits_gain")
    if options.get("batch_norm"):
        gains.append("bn_gain")
    return [f"a model.init.{name} above 0" for name in gains if options.get(name) == 0]


def _even(seen: Seen) -> list[str]:
    """How the layers come to have one size of signals and gradients."""
    options = seen.options
    if options.get("batch_norm"):
        moved = (options.get("bn_gain", 1.0), options.get("bn_bias", 0.0)) != (1.0, 0.0)
        return [BN_DEFAULT if moved else "a larger data.batch_size"]
    gain, words = GAINS.get(str(options.get("activation", "tanh")), GAINS["tanh"])
    other = abs(options.get("gain", 0.0) - gain) > 0.01
    return ["model.batch_norm true", *([f"a model.init.gain of {words}"] * other)]


@check("update_ratio", "while lr is at least half of its peak, where there are hidden weights")
def update_ratio(seen: Seen) -> Found | None:
    ratios, (low, high) = seen.under("update_ratio"), seen.bands.update_ratio
    judged = {name: ratios[name] for name in seen.hidden if name in ratios}
    if not seen.full_rate or seen.blocked or not judged:
        return None
    weight, _ = _largest({name: abs(x - (low + high) / 2) for name, x in judged.items()})
    ratio, loss = judged[weight], seen.figures.get("loss")
    # Where the minibatch is learnt, there are no gradients left: small updates are no fault.
    learnt = loss is not None and seen.uniform is not None and loss < seen.uniform / 2
    healthy = ratio <= high and (learnt or ratio >= low)
    text = (
        f"an update is 10^{ratio:.1f} times the size of {weight}"
        if isfinite(ratio)
        else f"an update leaves {weight} as it was"
    )
    text += f" (healthy: 10^{low:.1f} to 10^{high:.1f}"
    text += "; no fault: the minibatch is learnt)" if healthy and ratio < low else ")"
    faster = _zeros(seen) or ["a higher model.lr"]
    return Found(healthy, text, faster if ratio < low else ["a lower model.lr"])


@check("batch_norm", "from update 100 on, where there are BatchNorm layers")
def batch_norm(seen: Seen) -> Found | None:
    if seen.step < 100 or not (drifts := seen.under("batch_norm_drift")):
        return None
    (layer, drift), limit = _largest(drifts), seen.bands.batch_norm
    text = (
        f"batch mean is {drift:.2f} standard deviations from the running mean of {layer} "
        f"(healthy: below {limit:g})"
    )
    return Found(drift <= limit, text, ["a larger data.batch_size", "a lower model.lr"])


@check("overfit", "from the second probe on, where the words of the run are known", WORDS)
def overfit(seen: Seen) -> Found | None:
    """Val has risen from its lowest, and train is far below that."""
    losses, limit = seen.under("held_out"), seen.bands.overfit
    if seen.step == 1 or len(losses) < 4:
        return None
    train, val, lowest = losses["train"], losses["val"], losses["lowest"]
    text = (
        f"val {val:.2f} is {val - lowest:.2f} above its lowest, {lowest:.2f} at update "
        f"{losses['lowest_step']:,.0f}; train {train:.2f} is {lowest - train:.2f} below that "
        f"(healthy: one of the two at most {limit:g})"
    )
    return Found(min(val - lowest, lowest - train) <= limit, text, _general(seen))


@check(
    "baseline", "from update 1,000 on and at the end, where the words of the run are known", WORDS
)
def baseline(seen: Seen) -> Found | None:
    """Better than counting single characters? Only this can be asked of any list.

    Where counting pairs and more is no better either, the characters have no order that could be
    learnt; then val must only not be worse than guessing.
    """
    if (val := seen.val) is None:
        return None
    name, limit = "unigram", seen.counts["unigram"] - seen.bands.baseline
    if min(seen.counts.values()) > limit:
        name, limit = "uniform", seen.counts["uniform"] + seen.bands.baseline
    counting = f"counting ({name}) {seen.counts[name]:.2f}"
    text = f"val {val:.2f}, {counting} (healthy: at most {limit:.2f})"
    longer = "a larger trainer.max_steps if they are healthy"
    remedies = _more_minibatches(seen) or ["what the other verdicts say", longer]
    return Found(val <= limit, text, remedies)


@check("memorised", "at validations, where the words of the run are known", WORDS)
def memorised(seen: Seen) -> Found | None:
    """Too many training words among the samples, beyond those that are natural."""
    if (known := seen.known) is None:
        return None
    limit = seen.bands.memorised
    text = (
        f"{100 * known.train:.0f} % of {known.num} samples are training words; natural for this "
        f"list: {100 * known.natural:.0f} % (healthy: at most {limit:g} % more)"
    )
    return Found(100 * (known.train - known.natural) <= limit, text, _general(seen))


def _general(seen: Seen) -> list[str]:
    """How a network comes to learn more than its training words."""
    dropout = [] if seen.options.get("dropout") else ["model.dropout 0.2"]
    general = ["a longer list of words", "a smaller trainer.max_steps", *dropout]
    return _more_minibatches(seen) or general


def _more_minibatches(seen: Seen) -> list[str]:
    few = bool(seen.options.get("overfit_batches"))
    return ["trainer.overfit_batches 0: the run has seen no other minibatches"] * few


def _largest(figures: Figures) -> tuple[str, float]:
    return max(figures.items(), key=lambda item: item[1])


def _smallest(figures: Figures) -> tuple[str, float]:
    return min(figures.items(), key=lambda item: item[1])


def options_of(trainer: pl.Trainer, module: pl.LightningModule) -> dict[str, Any]:
    """The options that remedies depend on, by their last name. Of a foreign module few exist."""
    options = dict(getattr(module, "hparams", {}))
    init = options.pop("init", None)
    return {
        **options,
        **(init if isinstance(init, Mapping) else {}),
        "gradient_clip_val": trainer.gradient_clip_val,
        "precision": str(trainer.precision),
        "overfit_batches": trainer.overfit_batches,  # type: ignore[attr-defined]
    }

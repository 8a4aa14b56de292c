"""What the figures say about a network: is it healthy, and if not, what to try.

A check is a function under @check. A spread, gradient or update of zero is the worst value that
there is. The bands separate healthy networks from sick ones (docs/verdicts.md).
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from math import inf, isfinite, isnan
from textwrap import fill
from typing import Any, NamedTuple

import lightning.pytorch as pl

from lit_makemore.diagnostics.figures import Figures, listed
from lit_makemore.diagnostics.settings import Bands
from lit_makemore.diagnostics.words import Known

TABLE_WIDTH, INDENT = 100, 19  # columns
GAINS = {"tanh": (5 / 3, "5/3 for tanh"), "relu": (2**0.5, "√2 for ReLU"), "linear": (1.0, "1")}


@dataclass(frozen=True)
class Seen:
    """What the checks read, after an update that was probed or after a validation."""

    step: int  # number of the update, from 1
    bands: Bands = Bands()
    options: Mapping[str, Any] = field(default_factory=dict)  # see options_of
    figures: Figures = field(default_factory=dict)
    nonfinite: list[str] | None = None  # names of tensors; None: not looked for
    uniform: float | None = None  # ln V, the loss of guessing; None: the loss is not judged
    hidden: Collection[str] = ()  # names of the weights whose update ratio is judged
    # Saturation and dead units are judged up to this step: later it grows in every healthy run.
    early: int = 1000
    full_rate: bool = True  # whether lr is near its peak; only then are updates judged
    val: float | None = None  # the loss of a validation, in nats
    counts: Mapping[str, float] = field(default_factory=dict)  # val losses of the count models
    known: Known | None = None  # what samples are

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


Found = tuple[bool, str]
"""Whether a network is healthy; a figure, where it was found, and its band."""


Check = Callable[[Seen], Found | None]
"""Judges what it sees; None for not now."""


class Verdict(NamedTuple):
    """The result of one check, and what to try if it is not healthy."""

    check: str
    step: int
    healthy: bool
    text: str
    advice: str = ""

    def __str__(self) -> str:
        return f"{self.text}; try {self.advice}"


CHECKS: dict[str, tuple[str, Check]] = {}  # by name: when it is judged, and the function


def check(name: str, when: str) -> Callable[[Check], Check]:
    """Adds the function that judges to CHECKS."""
    return lambda judge: CHECKS.setdefault(name, (when, judge))[1]


def judge(seen: Seen) -> list[Verdict]:
    verdicts, to_try = list[Verdict](), remedies(seen)
    for name, (_, check) in CHECKS.items():
        if found := check(seen):
            *others, last = to_try[name]
            advice = f"{', '.join(others)} or {last}" if others else last
            verdicts.append(Verdict(name, seen.step, *found, advice))
    return verdicts


@check("nan", "at every probe")
def finite(seen: Seen) -> Found | None:
    if (names := seen.nonfinite) is None:
        return None
    return not names, f"not finite: {listed(names)}" if names else "all numbers are finite"


@check("initial_loss", "at update 1, of a module with a vocab and a method loss(batch)")
def initial_loss(seen: Seen) -> Found | None:
    return _loss(seen, seen.bands.initial_loss) if seen.step == 1 else None


@check("loss", "from update 50 on, of a module with a vocab and a method loss(batch)")
def later_loss(seen: Seen) -> Found | None:
    return _loss(seen, seen.bands.loss) if seen.step >= 50 else None


def _loss(seen: Seen, above: float) -> Found | None:
    loss = seen.figures.get("loss")
    if loss is None or seen.uniform is None or not isfinite(loss):
        return None
    limit = seen.uniform + above
    return loss <= limit, f"loss {loss:.2f} (healthy: at most {limit:.2f})"


@check("saturation", "early in the run, in layers that are flat at both ends, as tanh is")
def saturation(seen: Seen) -> Found | None:
    return _share(seen, "activation_saturated", "values are saturated", seen.bands.saturation)


@check("dead", "early in the run, where there are activation layers")
def dead(seen: Seen) -> Found | None:
    return _share(seen, "activation_dead", "units are dead", seen.bands.dead)


def _share(seen: Seen, group: str, what: str, limit: float) -> Found | None:
    if seen.step > seen.early or not (shares := seen.under(group)):
        return None
    share = shares[layer := _largest(shares)]
    return share <= limit, f"{layer}: {share:.2f} % of the {what} (healthy: at most {limit:g} %)"


@check("depth", "at update 1, where there are activation layers")
def depth(seen: Seen) -> Found | None:
    if seen.step != 1 or not (stds := seen.under("activation_std")):
        return None
    weakest, largest, limit = _largest(stds, -1), max(stds.values()), seen.bands.depth
    kept = stds[weakest] / largest if largest else 0.0
    text = f"the weakest layer ({weakest}) keeps {100 * kept:.0f} % of the strongest layer's spread"
    if not largest:
        text = "no layer has any spread: its outputs are all the same"
    return kept >= limit, f"{text} (healthy: {100 * limit:g} % or more)"


@check("gradient", "at updates 1 and 10, of a module with a method loss(batch)")
def gradient(seen: Seen) -> Found | None:
    stds, limit = seen.under("gradient_std"), seen.bands.gradient
    if not stds or seen.step not in (1, 10) or seen.blocked:
        return None
    weakest, strongest = _largest(stds, -1), _largest(stds)
    factor, text = inf, f"no gradient reaches {weakest}"
    if stds[weakest]:
        factor = stds[strongest] / stds[weakest]
        text = f"the strongest gradient ({strongest}) is {factor:.2f} times the weakest"
    return factor <= limit, f"{text} (healthy: at most {limit:g} times)"


@check("update_ratio", "while lr is at least half of its peak, where there are hidden weights")
def update_ratio(seen: Seen) -> Found | None:
    low, high = seen.bands.update_ratio
    if not seen.full_rate or seen.blocked or not (weight := _most_wrong(seen)):
        return None
    ratio, loss = seen.under("update_ratio")[weight], seen.figures.get("loss")
    # Where the minibatch is learnt, there are no gradients left: small updates are no fault.
    learnt = loss is not None and seen.uniform is not None and loss < seen.uniform / 2
    healthy = ratio <= high and (learnt or ratio >= low)
    text = f"an update is 10^{ratio:.1f} times the size of {weight}"
    if not isfinite(ratio):
        text = f"an update leaves {weight} as it was"
    why = "; no fault: the minibatch is learnt" if healthy and ratio < low else ""
    return healthy, f"{text} (healthy: 10^{low:.1f} to 10^{high:.1f}{why})"


def _most_wrong(seen: Seen) -> str:
    """The hidden weight whose update ratio is farthest from the middle of its band."""
    ratios, middle = seen.under("update_ratio"), sum(seen.bands.update_ratio) / 2
    distances = {name: abs(ratios[name] - middle) for name in seen.hidden if name in ratios}
    return _largest(distances) if distances else ""


@check("batch_norm", "from update 100 on, where there are BatchNorm layers")
def batch_norm(seen: Seen) -> Found | None:
    if seen.step < 100 or not (drifts := seen.under("batch_norm_drift")):
        return None
    drift, limit = drifts[layer := _largest(drifts)], seen.bands.batch_norm
    text = f"batch mean is {drift:.2f} standard deviations from the running mean of {layer}"
    return drift <= limit, f"{text} (healthy: below {limit:g})"


@check("overfit", "from the second probe on, where there is a NamesDataModule")
def overfit(seen: Seen) -> Found | None:
    """Val has risen from its lowest, and train is far below that."""
    losses, limit = seen.under("held_out"), seen.bands.overfit
    if seen.step == 1 or len(losses) < 4:
        return None
    train, val, lowest = losses["train"], losses["val"], losses["lowest"]
    return min(val - lowest, lowest - train) <= limit, (
        f"network alone, on some words: val {val:.2f}, lowest {lowest:.2f} at update "
        f"{losses['lowest_step']:,.0f}, train {train:.2f} (healthy: val at most {limit:g} above "
        f"its lowest, or train at most {limit:g} below that)"
    )


@check("baseline", "from update 1,000 on and at the end, where there is a NamesDataModule")
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
    of = "val of the mixture" if seen.options.get("count_mixture") else "val"
    counting = f"counting ({name}) {seen.counts[name]:.2f}"
    return val <= limit, f"{of} {val:.2f}, {counting} (healthy: at most {limit:.2f})"


@check("memorised", "at validations, where there is a NamesDataModule")
def memorised(seen: Seen) -> Found | None:
    """Too many training words among the samples, beyond those that are natural."""
    if (known := seen.known) is None:
        return None
    limit = seen.bands.memorised
    return 100 * (known.train - known.natural) <= limit, (
        f"{100 * known.train:.0f} % of {known.num} samples are training words; by the held-out "
        f"words among them, {100 * known.natural:.0f} % is natural (healthy: at most {limit:g} % "
        "more)"
    )


def _largest(figures: Figures, sign: int = 1) -> str:
    """The name of the largest figure; of the smallest, with sign -1."""
    return max(figures, key=lambda name: sign * figures[name])


def remedies(seen: Seen) -> dict[str, list[str]]:
    """For each check one to three things to try that the run does not have yet."""
    has = seen.options.get
    logits = "logits_bn_gain" if has("logits_batch_norm") else "logits_gain"
    slower, wider = "a lower model.lr", "a larger data.batch_size"
    clip = [] if has("gradient_clip_val") else ["trainer.gradient_clip_val 1.0"]
    exact = str(has("precision", "32")).startswith(("32", "64"))
    precise = [] if exact else ["trainer.precision 32-true"]
    # Layers with one size of signals and gradients. Of zero weights, all units stay the same.
    batch_norm = has("norm") == "batch"
    gains = ["gain", logits, *(["bn_gain"] if batch_norm else [])]
    zeros = [f"a model.init.{name} above 0" for name in gains if has(name) == 0]
    bn_gain, bn_bias = has("bn_gain", 1.0), has("bn_bias", 0.0)
    bn_default = "model.init.bn_gain 1 with model.init.bn_bias 0"
    gain, named = GAINS.get(str(has("activation", "tanh")), (None, ""))
    if batch_norm:  # which cancels the gain of the weights before it
        even = [wider if (bn_gain, bn_bias) == (1.0, 0.0) else bn_default]
        smaller = [bn_default] if bn_gain > 1 or bn_bias != 0 else []
    else:
        even = smaller = ["model.norm batch"]
        if gain is not None and abs(has("gain", 0.0) - gain) > 0.01:
            even = [*even, f"a model.init.gain of {named}"]
    # Before the first update, lr is not to blame.
    flat = [slower, *smaller] if seen.step > 1 else smaller or [wider]
    if not batch_norm and has("activation") != "relu":
        flat = [*flat, "a smaller model.init.gain"]
    ratio = seen.under("update_ratio").get(_most_wrong(seen), 0.0)
    faster = ratio < seen.bands.update_ratio[0]
    dropout = [] if has("dropout") else ["model.dropout 0.2"]
    longer_list = [] if has("words", 0) > 20_000 else ["a longer list of words"]
    general = [*longer_list, "a smaller trainer.max_steps", *dropout]
    longer = ["what the other verdicts say", "a larger trainer.max_steps if they are healthy"]
    if has("overfit_batches"):
        general = longer = ["trainer.overfit_batches 0: the run has seen no other minibatches"]
    return {
        "nan": [slower, *clip, *precise],
        "initial_loss": [
            f"a smaller model.init.{logits}, so that the first guess is nearly uniform"
        ],
        "loss": [slower, *clip],
        "saturation": flat,
        "dead": flat,
        "depth": zeros or even,
        "gradient": zeros or even,
        "update_ratio": (zeros or ["a higher model.lr"]) if faster else [slower],
        "batch_norm": [wider, slower],
        "overfit": general,
        "baseline": longer,
        "memorised": general,
    }


def options_of(trainer: pl.Trainer, module: pl.LightningModule) -> dict[str, Any]:
    """The options that remedies depend on, by their last name. Of a foreign module few exist."""
    options = getattr(module, "hparams", {})
    init = options.get("init")
    return {
        **options,
        **(init if isinstance(init, Mapping) else {}),
        "gradient_clip_val": trainer.gradient_clip_val,
        "words": getattr(getattr(trainer.datamodule, "corpus", None), "n_words", 0),  # type: ignore[attr-defined]
        "precision": str(trainer.precision),
        "overfit_batches": trainer.overfit_batches,  # type: ignore[attr-defined]
    }


class Health:
    """The verdicts of a run: of each check the first that is not healthy, else the latest one.

    `verdicts` has them by check.
    """

    def __init__(self) -> None:
        self.verdicts: dict[str, Verdict] = {}

    def add(self, verdicts: Iterable[Verdict]) -> list[str]:
        """Adds verdicts; returns a line for each check that fails for the first time."""
        lines = []
        for verdict in verdicts:
            before = self.verdicts.get(verdict.check)
            if before is None or before.healthy:
                self.verdicts[verdict.check] = verdict
                if not verdict.healthy:
                    lines.append(f"{verdict.check} at update {verdict.step:,}: {verdict}")
        return lines

    @property
    def failed(self) -> list[str]:
        return [name for name, verdict in self.verdicts.items() if not verdict.healthy]

    def table(self) -> str:
        """The closing table: a paragraph for each check."""
        lines = ["\nhealth"]
        for name, (when, _) in CHECKS.items():
            mark, text = "n/a", f"is judged {when}"
            if verdict := self.verdicts.get(name):
                bad = f"at update {verdict.step:,}: {verdict}"
                mark, text = ("ok", verdict.text) if verdict.healthy else ("BAD", bad)
            line = f"{name:<14}{mark:<5}{text}"
            lines.append(fill(line, TABLE_WIDTH, subsequent_indent=" " * INDENT))
        return "\n".join(lines)

    def summary(self) -> dict[str, str]:
        """The entry of summary.json: for each check "ok", its first failure, or why it is n/a."""
        found = {name: f"n/a: is judged {when}" for name, (when, _) in CHECKS.items()}
        for name, verdict in self.verdicts.items():
            found[name] = "ok" if verdict.healthy else f"update {verdict.step}: {verdict.text}"
        return found

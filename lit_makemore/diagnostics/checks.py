"""What the figures say about a network: is it healthy, and if not, what to try.

Zero is the worst spread, gradient or update. docs/verdicts.md shows what the bands separate.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from math import inf, isfinite, nan
from textwrap import fill
from typing import Any, NamedTuple

from lit_makemore.diagnostics.figures import Figures, listed
from lit_makemore.diagnostics.settings import Bands
from lit_makemore.diagnostics.words import Known

TABLE_WIDTH = 100  # columns
GAINS = {"tanh": (5 / 3, "5/3 for tanh"), "relu": (2**0.5, "√2 for ReLU"), "linear": (1.0, "1")}


CHECKS = {  # by name, when they are judged
    "nan": "at every probe",
    "initial_loss": "at update 1, of a module with a vocab and a method loss(batch)",
    "loss": "from update 50 on, of a module with a vocab and a method loss(batch)",
    "saturation": "early in the run, in layers that are flat at both ends, as tanh is",
    "dead": "early in the run, where there are activation layers",
    "depth": "at update 1, where there are activation layers",
    "gradient": "at updates 1 and 10, of a module with a method loss(batch)",
    "update_ratio": "while lr is at least half of its peak, where there are hidden weights",
    "batch_norm": "from update 100 on, where there are BatchNorm layers",
    "overfit": "from the second probe on, where there is a NamesDataModule",
    "baseline": "from update 1,000 on and at the end, where there is a NamesDataModule",
    "memorised": "at validations, where there is a NamesDataModule",
}


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
    early: int = 1000  # the last step with verdicts on flat units: later more are in every run
    full_rate: bool = True  # whether lr is near its peak; only then are updates judged
    val: float | None = None  # the loss of a validation, in nats
    counts: Mapping[str, float] = field(default_factory=dict)  # val losses of the count models
    known: Known | None = None  # what samples are

    def under(self, group: str) -> Figures:
        """The figures <group>/<name>, by name; neither NaN nor too large for a number."""
        found = {name: x for name, x in self.figures.items() if name.startswith(f"{group}/")}
        return {name.removeprefix(f"{group}/"): x for name, x in found.items() if x < inf}


class Verdict(NamedTuple):
    """The result of one check, and what to try if it is not healthy."""

    check: str
    step: int
    healthy: bool
    text: str
    advice: str = ""

    def __str__(self) -> str:
        return f"{self.text}; try {self.advice}"


Found = Iterator[tuple[str, bool, str]]  # of each check that is due: name, healthy or not, why


def judge(seen: Seen) -> list[Verdict]:
    verdicts, to_try = [], remedies(seen)
    for found in (losses, activations, gradients, words):
        for name, healthy, text in found(seen):
            *others, last = filter(None, to_try[name])
            advice = f"{', '.join(others)} or {last}" if others else last
            verdicts.append(Verdict(name, seen.step, healthy, text, advice))
    return verdicts


def losses(seen: Seen) -> Found:
    if (names := seen.nonfinite) is not None:
        text = f"not finite: {listed(names)}" if names else "all numbers are finite"
        yield "nan", not names, text
    loss = seen.figures.get("loss", nan)
    name = "initial_loss" if seen.step == 1 else "loss" if seen.step >= 50 else ""
    if name and seen.uniform is not None and isfinite(loss):
        limit = seen.uniform + getattr(seen.bands, name)
        yield name, loss <= limit, f"loss {loss:.2f} (healthy: at most {limit:.2f})"


def activations(seen: Seen) -> Found:
    for name, figure, what in (
        ("saturation", "activation_saturated", "values are saturated"),
        ("dead", "activation_dead", "units are dead"),
    ):
        if seen.step <= seen.early and (shares := seen.under(figure)):
            share, limit = shares[layer := _largest(shares)], getattr(seen.bands, name)
            text = f"{layer}: {share:.2f} % of the {what} (healthy: at most {limit:g} %)"
            yield name, share <= limit, text
    if seen.step == 1 and (stds := seen.under("activation_std")):
        weakest, largest, limit = _largest(stds, -1), max(stds.values()), seen.bands.depth
        kept, text = 0.0, "no layer has any spread: its outputs are all the same"
        if largest:
            kept = 100 * stds[weakest] / largest
            text = (
                f"the weakest layer ({weakest}) keeps {kept:.0f} % of the strongest layer's spread"
            )
        yield "depth", kept >= 100 * limit, f"{text} (healthy: {100 * limit:g} % or more)"


def gradients(seen: Seen) -> Found:
    stds, ratios, drifts = map(seen.under, ("gradient_std", "update_ratio", "batch_norm_drift"))
    # A last layer that begins at zero lets no gradient through yet.
    blocked = seen.step == 1 and {*stds.values()} == {0.0}
    if stds and seen.step in (1, 10) and not blocked:
        weakest, strongest, limit = _largest(stds, -1), _largest(stds), seen.bands.gradient
        factor, text = inf, f"no gradient reaches {weakest}"
        if stds[weakest]:
            factor = stds[strongest] / stds[weakest]
            text = f"the strongest gradient ({strongest}) is {factor:.2f} times the weakest"
        yield "gradient", factor <= limit, f"{text} (healthy: at most {limit:g} times)"
    weight, (low, high) = _most_wrong(seen), seen.bands.update_ratio
    if weight and seen.full_rate and not blocked:
        ratio = ratios[weight]
        # Where the minibatch is learnt, there are no gradients left: small updates are no fault.
        learnt = seen.figures.get("loss", inf) < (seen.uniform or 0.0) / 2
        healthy = ratio <= high and (learnt or ratio >= low)
        text = f"an update is 10^{ratio:.1f} times the size of {weight}"
        if not isfinite(ratio):
            text = f"an update leaves {weight} as it was"
        why = "; no fault: the minibatch is learnt" if healthy and ratio < low else ""
        yield "update_ratio", healthy, f"{text} (healthy: 10^{low:.1f} to 10^{high:.1f}{why})"
    if seen.step >= 100 and drifts:
        drift, limit = drifts[layer := _largest(drifts)], seen.bands.batch_norm
        text = f"batch mean is {drift:.2f} standard deviations from the running mean of {layer}"
        yield "batch_norm", drift <= limit, f"{text} (healthy: below {limit:g})"


def words(seen: Seen) -> Found:
    losses, limit = seen.under("held_out"), seen.bands.overfit
    if seen.step > 1 and len(losses) == 4:
        train, val, lowest = losses["train"], losses["val"], losses["lowest"]
        text = (
            f"network alone, on some words: val {val:.2f}, lowest {lowest:.2f} at update "
            f"{losses['lowest_step']:,.0f}, train {train:.2f} (healthy: val at most {limit:g} "
            f"above its lowest, or train at most {limit:g} below that)"
        )
        # Val has risen from its lowest, and train is far below that.
        yield "overfit", min(val - lowest, lowest - train) <= limit, text
    if seen.val is not None:
        # Better than counting single characters? Only this can be asked of any list. Where counting
        # pairs and more is no better either, the characters have no order that could be learnt;
        # then val must only not be worse than guessing.
        counts, by = seen.counts, "unigram"
        limit = counts[by] - seen.bands.baseline
        if min(counts.values()) > limit:
            by, limit = "uniform", counts["uniform"] + seen.bands.baseline
        of = "val of the mixture" if seen.options.get("count_mixture") else "val"
        text = (
            f"{of} {seen.val:.2f}, counting ({by}) {counts[by]:.2f} (healthy: at most {limit:.2f})"
        )
        yield "baseline", seen.val <= limit, text
    if (known := seen.known) is not None:
        limit = seen.bands.memorised
        train, natural = 100 * known.train, 100 * known.natural
        text = (
            f"{train:.0f} % of {known.num} samples are training words; by the held-out words among "
            f"them, {natural:.0f} % is natural (healthy: at most {limit:g} % more)"
        )
        yield "memorised", train - natural <= limit, text


def _largest(figures: Figures, sign: int = 1) -> str:
    """The name of the largest figure; of the smallest, with sign -1."""
    return max(figures, key=lambda name: sign * figures[name])


def _most_wrong(seen: Seen) -> str:
    """The hidden weight whose update ratio is farthest from the middle of its band; "" for none."""
    ratios, middle = seen.under("update_ratio"), sum(seen.bands.update_ratio) / 2
    hidden = [name for name in seen.hidden if name in ratios]
    return max(hidden, key=lambda name: abs(ratios[name] - middle), default="")


def remedies(seen: Seen) -> dict[str, list[str]]:
    """For each check what to try; "" for what the run has already."""
    has, first = seen.options.get, seen.step == 1
    batch_norm = has("norm") == "batch"  # which cancels the gain of the weights before it
    slower, wider = "a lower model.lr", "a larger data.batch_size"
    clip = "" if has("gradient_clip_val") else "trainer.gradient_clip_val 1.0"
    exact = str(has("precision", "32")).startswith(("32", "64"))
    # Layers with one size of signals and gradients. Of zero weights, all units stay the same.
    logits = "logits_bn_gain" if has("logits_batch_norm") else "logits_gain"
    smaller = f"a smaller model.init.{logits}, so that the first guess is nearly uniform"
    gains = ["gain", logits, "bn_gain"] if batch_norm else ["gain", logits]
    zeros = [f"a model.init.{name} above 0" for name in gains if has(name) == 0]
    norm = "model.norm batch"
    if batch_norm:
        usual = (has("bn_gain", 1.0), has("bn_bias", 0.0)) == (1.0, 0.0)
        norm = "" if usual else "model.init.bn_gain 1 with model.init.bn_bias 0"
    gain, named = GAINS.get(str(has("activation")), (0.0, ""))
    other_gain = not batch_norm and abs(has("gain", gain) - gain) > 0.01
    even = zeros or [norm or wider, f"a model.init.gain of {named}" if named and other_gain else ""]
    # Before the first update, lr is not to blame.
    flat = [norm or wider] if first else [slower, norm]
    if not batch_norm and has("activation") != "relu":
        flat.append("a smaller model.init.gain")
    faster = seen.under("update_ratio").get(_most_wrong(seen), 0.0) < seen.bands.update_ratio[0]
    longer_list = "" if has("words", 0) > 20_000 else "a longer list of words"
    dropout = "" if has("dropout") else "model.dropout 0.2"
    general = [longer_list, "a smaller trainer.max_steps", dropout]
    longer = ["what the other verdicts say", "a larger trainer.max_steps if they are healthy"]
    if has("overfit_batches"):
        general = longer = ["trainer.overfit_batches 0: the run has seen no other minibatches"]
    return {
        "nan": [slower, clip, "" if exact else "trainer.precision 32-true"],
        "initial_loss": [smaller],
        "loss": [slower, clip],
        "saturation": flat,
        "dead": flat,
        "depth": even,
        "gradient": even,
        "update_ratio": (zeros or ["a higher model.lr"]) if faster else [slower],
        "batch_norm": [wider, slower],
        "overfit": general,
        "baseline": longer,
        "memorised": general,
    }


def options_of(trainer: Any, module: Any) -> dict[str, Any]:
    """The options that remedies depend on, by their last name. Of a foreign module few exist."""
    options = dict(getattr(module, "hparams", {}))
    corpus = getattr(trainer.datamodule, "corpus", None)
    if isinstance(init := options.get("init"), Mapping):
        options |= init
    options |= {name: getattr(trainer, name) for name in ("gradient_clip_val", "overfit_batches")}
    return options | {"precision": str(trainer.precision), "words": getattr(corpus, "n_words", 0)}


@dataclass
class Health:
    """The verdicts of a run, by check: the first that is not healthy, else the latest one."""

    verdicts: dict[str, Verdict] = field(default_factory=dict)

    def add(self, verdicts: Iterable[Verdict]) -> list[str]:
        """Adds verdicts; returns a line for each check that fails for the first time."""
        new = [verdict for verdict in verdicts if verdict.check not in self.failed]
        self.verdicts |= {verdict.check: verdict for verdict in new}
        bad = [verdict for verdict in new if not verdict.healthy]
        return [f"{verdict.check} at update {verdict.step:,}: {verdict}" for verdict in bad]

    @property
    def failed(self) -> list[str]:
        return [name for name, verdict in self.verdicts.items() if not verdict.healthy]

    def table(self) -> str:
        """The closing table: a paragraph for each check."""
        lines = ["\nhealth"]
        for name, when in CHECKS.items():
            mark, text = "n/a", f"is judged {when}"
            if verdict := self.verdicts.get(name):
                bad = f"at update {verdict.step:,}: {verdict}"
                mark, text = ("ok", verdict.text) if verdict.healthy else ("BAD", bad)
            row = f"{name:<14}{mark:<5}{text}"
            lines.append(fill(row, TABLE_WIDTH, subsequent_indent=" " * 19))
        return "\n".join(lines)

    def summary(self) -> dict[str, str]:
        """The entry of summary.json: for each check "ok", its first failure, or why it is n/a."""
        found = {name: f"n/a: is judged {when}" for name, when in CHECKS.items()}
        for name, verdict in self.verdicts.items():
            found[name] = "ok" if verdict.healthy else f"update {verdict.step}: {verdict.text}"
        return found

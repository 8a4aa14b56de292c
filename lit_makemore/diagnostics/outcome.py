"""What the losses and the samples say: has it learnt the words, or only these words?

Pure functions, as in verdicts.py.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lit_makemore.diagnostics.advice import advice
from lit_makemore.diagnostics.verdicts import Bands, Verdict


@dataclass(frozen=True)
class Known:
    """How many of some samples are training words.

    Args:
        num: the samples.
        train: share that are training words.
        natural: share that would be if the network knew the list, but no word by heart.
    """

    num: int
    train: float
    natural: float


def judge_baseline(
    val: float,
    counts: Mapping[str, float],
    bands: Bands,
    options: Mapping[str, Any] = {},
) -> Verdict:
    """Better than counting single characters? Only this can be asked of any list.

    Where counting pairs and more is no better either, the characters have no order that could be
    learnt; then val must only not be worse than guessing.

    Args:
        val: the val loss, in nats.
        counts: the val losses of the count models, by name.
        bands: what is healthy.
        options: the run's, which advice depends on.
    """
    name, limit = "unigram", counts["unigram"] - bands.baseline
    if min(counts.values()) > limit:
        name, limit = "uniform", counts["uniform"] + bands.baseline
    text = f"val {val:.2f}, counting ({name}) {counts[name]:.2f} (healthy: at most {limit:.2f})"
    return Verdict("baseline", val <= limit, text, advice("baseline", options))


def judge_memorised(known: Known, bands: Bands, options: Mapping[str, Any] = {}) -> Verdict:
    """Too many training words among the samples, beyond those that are natural."""
    beyond = 100 * (known.train - known.natural)
    text = (
        f"{100 * known.train:.0f} % of {known.num} samples are training words; natural for this "
        f"list: {100 * known.natural:.0f} % (healthy: at most {bands.memorised:g} % more)"
    )
    return Verdict("memorised", beyond <= bands.memorised, text, advice("memorised", options))

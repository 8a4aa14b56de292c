"""What to try where a figure is not healthy: only what the run does not have already."""

from collections.abc import Mapping
from typing import Any

import lightning.pytorch as pl

GAINS = {"tanh": (5 / 3, "5/3 for tanh"), "relu": (2**0.5, "√2 for ReLU"), "linear": (1.0, "1")}
BN_DEFAULT = "model.init.bn_gain 1 with model.init.bn_bias 0"


def options_of(trainer: pl.Trainer, module: pl.LightningModule) -> dict[str, Any]:
    """The options that advice depends on, by their last name. Of a foreign module few are known."""
    options = dict(getattr(module, "hparams", {}))
    init = options.pop("init", None)
    return {
        **options,
        **(init if isinstance(init, Mapping) else {}),
        "gradient_clip_val": trainer.gradient_clip_val,
        "precision": str(trainer.precision),
        "overfit_batches": trainer.overfit_batches,  # type: ignore[attr-defined]
    }


def advice(check: str, options: Mapping[str, Any], step: int = 1) -> str:
    """What to try when a check fails.

    Args:
        check: one of verdicts.CHECKS; the two ends of update_ratio are update_ratio_low and
            update_ratio_high.
        options: the run's, as `options_of` returns them; what is not there is unknown.
        step: number of the update at which it fails; before the first one, lr is not to blame.
    """
    return _listed(_remedies(check, options, step))


def _remedies(check: str, options: Mapping[str, Any], step: int) -> list[str]:
    if check == "update_ratio_low":
        return _zeros(options) or ["a higher model.lr"]
    if check in ("update_ratio_high", "loss", "nan"):
        found = ["a lower model.lr"]
        if check != "update_ratio_high" and not options.get("gradient_clip_val"):
            found.append("trainer.gradient_clip_val 1.0")
        if check == "nan" and not str(options.get("precision", "32")).startswith(("32", "64")):
            found.append("trainer.precision 32-true")
        return found
    if check == "initial_loss":
        layer = "logits_bn_gain" if options.get("logits_batch_norm") else "logits_gain"
        return [f"a smaller model.init.{layer}, so that the first guess is nearly uniform"]
    if check in ("saturation", "dead"):
        return (["a lower model.lr"] if step > 1 else []) + _reacting(check, options, step)
    if check in ("depth", "gradient"):
        return _zeros(options) or _even(options)
    if check == "batch_norm":
        return ["a larger data.batch_size", "a lower model.lr"]
    if options.get("overfit_batches"):  # overfit, baseline, memorised
        return ["trainer.overfit_batches 0: the run has seen no other minibatches"]
    if check == "baseline":
        return ["what the other verdicts say", "a larger trainer.max_steps if they are healthy"]
    smaller = [] if options.get("dropout") else ["model.dropout 0.2"]
    return ["a longer list of words", "a smaller trainer.max_steps", *smaller]


def _reacting(check: str, options: Mapping[str, Any], step: int) -> list[str]:
    """How units come to react again. BatchNorm cancels the gain of the weights before it."""
    if not options.get("batch_norm"):
        scales = check == "saturation" or options.get("activation") != "relu"
        return ["model.batch_norm true", *(["a smaller model.init.gain"] if scales else [])]
    if options.get("bn_gain", 1.0) > 1 or options.get("bn_bias", 0.0) != 0:
        return [BN_DEFAULT]
    return [] if step > 1 else ["a larger data.batch_size"]


def _zeros(options: Mapping[str, Any]) -> list[str]:
    """A remedy for each gain that is zero: then all units of a layer are the same for ever."""
    gains = ["gain"]
    gains.append("logits_bn_gain" if options.get("logits_batch_norm") else "logits_gain")
    if options.get("batch_norm"):
        gains.append("bn_gain")
    return [f"a model.init.{name} above 0" for name in gains if options.get(name) == 0]


def _even(options: Mapping[str, Any]) -> list[str]:
    """How the layers come to have one size of signals and gradients."""
    if options.get("batch_norm"):
        moved = (options.get("bn_gain", 1.0), options.get("bn_bias", 0.0)) != (1.0, 0.0)
        return [BN_DEFAULT if moved else "a larger data.batch_size"]
    found = ["model.batch_norm true"]
    gain, words = GAINS.get(str(options.get("activation", "tanh")), GAINS["tanh"])
    if abs(options.get("gain", 0.0) - gain) > 0.01:
        found.append(f"a model.init.gain of {words}")
    return found


def _listed(remedies: list[str]) -> str:
    """One, two or three."""
    return " or ".join(part for part in (", ".join(remedies[:-1]), remedies[-1]) if part)

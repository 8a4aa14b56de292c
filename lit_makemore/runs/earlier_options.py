"""The options of earlier versions, under their names of today."""

from typing import Any

OLD = ("clip_norm", "fused")  # of the group model
NEW = {"known_words": False}  # of the group model, with what earlier versions did


def modernised(options: dict[str, Any]) -> dict[str, Any]:
    """A configuration of any version, as one of this version.

    model.clip_norm is trainer.gradient_clip_val now. Of model.fused, false is model.engine eager,
    and auto takes the place of the rest: steps compiled by torch are gone.
    """
    model = {k: v for k, v in (NEW | options["model"]).items() if k not in OLD}
    limit, fused = (options["model"].get(name) for name in OLD)
    found = {**options, "model": model}
    if limit is not None:
        found["trainer"] = {**(options.get("trainer") or {}), "gradient_clip_val": limit}
    if fused is not None:
        model["engine"] = "eager" if fused is False else "auto"
    return found

"""The options of earlier versions, under their names of today."""

from typing import Any

OLD = ("clip_norm", "fused")  # of the group model


def modernised(options: dict[str, Any]) -> dict[str, Any]:
    """A configuration of any version, as one of this version.

    model.clip_norm is trainer.gradient_clip_val now. Of model.fused, false is model.engine eager,
    and auto takes the place of the rest: steps compiled by torch are gone.
    """
    model = {name: value for name, value in options["model"].items() if name not in OLD}
    limit, fused = (options["model"].get(name) for name in OLD)
    found = {**options, "model": model}
    if limit is not None:
        found["trainer"] = {**(options.get("trainer") or {}), "gradient_clip_val": limit}
    if fused is not None:
        model["engine"] = "eager" if fused is False else "auto"
    return found

"""Going on where a run stopped: which checkpoint, and whether the configuration still fits it."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
import yaml

from lit_makemore.model import KEY, read
from lit_makemore.runs.folder import is_finished

# options that may differ: they change no digit of the result
SAME_RESULT = (
    "config runs_dir ckpt_path threads diagnostics trainer.enable_progress_bar trainer.profiler "
    "trainer.log_every_n_steps trainer.max_time trainer.logger data.predict_path data.url"
).split()


class Resumption(NamedTuple):
    """Where a run goes on."""

    folder: Path
    path: Path | None = None  # of the checkpoint; without one it begins again in this folder
    step: int = 0  # updates made by then
    threads: int | None = None  # how many made them; None if it begins again
    finished: bool = False  # whether the run has its summary and is as long as asked for


def find(
    resume: str, root: str | Path, name: str | None, stem: str, max_steps: int
) -> Resumption | None:
    """The checkpoint to go on from, in a run under `root`, which shall make max_steps (or -1).

    resume is "true"; or "auto", which is no error where there is no such run; or a run folder; or a
    checkpoint in one. The run is the named one, or the newest named stem, or stem with a number:
    the one whose config.yaml was written last. It goes on from its last checkpoint. Without any it
    begins again, in its folder.

    Raises:
        FileNotFoundError: there is no such run.
        ValueError: the checkpoint is not a whole one of this program.
    """
    folder = Path(resume).resolve()
    if resume in ("true", "auto"):
        named = re.compile(re.escape(name) if name else rf"{re.escape(stem)}(-\d+)?")
        configs = Path(root).glob("*/config.yaml")
        runs = [config for config in configs if named.fullmatch(config.parent.name)]
        if not runs and resume == "auto":
            return None
        if not runs:
            raise FileNotFoundError(f"there is no run {name or stem} in {root}; leave out --resume")
        folder = max(runs, key=lambda config: config.stat().st_mtime_ns).parent
    path = folder / "checkpoints" / "last.ckpt"
    if not folder.is_dir():
        path, folder = Path(resume), folder.parent.parent
    elif not path.exists():  # it was stopped very early, or while its teachers trained
        return Resumption(folder)
    entries = read(path)
    step = entries["global_step"]
    finished = is_finished(folder) and 0 < max_steps <= step
    return Resumption(folder, path, step, entries[KEY]["threads"], finished)


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What differs between two configurations and changes the result, as "key: old -> new"."""
    old, new = that_count(before), that_count(now)
    harmless: tuple[str, ...] = ()
    if new.get("model.schedule") == "step":  # which is the same however long the run is
        harmless = ("trainer.max_steps", "trainer.max_epochs")
    return [
        f"{key}: {old.get(key)} -> {new.get(key)}"
        for key in sorted(old.keys() | new.keys())
        if old.get(key) != new.get(key) and key not in harmless
    ]


def that_count(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """The options of a configuration that change its result, by their names as they are typed."""
    found: dict[str, Any] = {}
    for key, value in config.items():
        if (name := prefix + key) not in SAME_RESULT:
            found |= that_count(value, f"{name}.") if isinstance(value, dict) else {name: value}
    return found


def check(found: Resumption, config: str, override: bool) -> list[str]:
    """Lines that say what applies from here on, under another configuration (YAML).

    Raises:
        ValueError: it differs in what changes the result, and the user does not override that.
    """
    before = yaml.safe_load((found.folder / "config.yaml").read_text("utf-8"))
    apart = differences(before, yaml.safe_load(config))
    if found.threads not in (None, threads := torch.get_num_threads()):
        apart.append(f"threads: {found.threads} -> {threads}")
    if apart and not override:
        said = f"{found.folder} was trained with another configuration: {'; '.join(apart)}"
        raise ValueError(f"{said}; to use the new values, add --resume_override true")
    return [f"changed from here on: {line}" for line in apart]

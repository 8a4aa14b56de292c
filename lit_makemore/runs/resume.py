"""Going on where a run stopped: which checkpoint, and whether the configuration still fits it."""

from dataclasses import dataclass
from glob import escape
from pathlib import Path
from typing import Any

import torch
import yaml

from lit_makemore import checkpoint

# What may differ without changing a digit of the result.
HARMLESS = (
    *("config", "runs_dir", "ckpt_path"),
    *("trainer.enable_progress_bar", "trainer.profiler", "trainer.log_every_n_steps"),
    *("trainer.max_time", "trainer.logger", "data.predict_path", "data.url", "threads"),
    *("diagnostics",),
)


@dataclass(frozen=True)
class Resumption:
    """Where a run goes on.

    Args:
        folder: the run folder it goes on in.
        path: the checkpoint; None to begin again, in this folder.
        step: updates made by then.
        threads: how many threads they were made with; None if it begins again.
        finished: whether the run has its summary and is as long as it shall be.
        notes: lines for whoever watches.
    """

    folder: Path
    path: Path | None
    step: int
    threads: int | None
    finished: bool = False
    notes: tuple[str, ...] = ()


def find(
    resume: str, root: str | Path, name: str | None, stem: str, max_steps: int
) -> Resumption | None:
    """The checkpoint to go on from.

    Args:
        resume: "true" for the run's last checkpoint; "auto" for its newest whole one, or none, and
            the run begins again in its folder; otherwise a run folder or a checkpoint in one.
        root: where run folders lie.
        name: the run's name; None for the newest one that is called stem, or stem with a suffix.
        stem: see name.
        max_steps: how long the run shall be; -1 for ever.

    Raises:
        FileNotFoundError: there is nothing to go on from; not for "auto".
        ValueError: the checkpoint is not a whole one of this program; not for "auto".
    """
    if resume not in ("true", "auto"):
        path = Path(resume)
        if path.is_dir():
            return _last(path.resolve(), max_steps)
        folder = path.resolve().parent.parent
        if path.is_file() and not (folder / "config.yaml").is_file():
            raise ValueError(f"{path} does not lie in a run folder, with config.yaml beside it")
        return _from([path], folder, max_steps)
    runs = [Path(root) / name] if name is not None else _named(Path(root), stem)
    folders = [run for run in runs if (run / "config.yaml").is_file()]
    if not folders and resume == "auto":
        return None
    if resume == "true":
        if not folders:
            raise FileNotFoundError(f"there is no run {name or stem} in {root}; leave out --resume")
        return _last(folders[-1], max_steps)
    found = folders[-1] / "checkpoints"
    try:
        return _from([found / "last.ckpt", found / "best.ckpt"], folders[-1], max_steps)
    except (ValueError, FileNotFoundError):
        note = f"no whole checkpoint in {folders[-1]}: starting afresh there"
        return Resumption(folders[-1], None, 0, None, notes=(note,))


def _named(root: Path, stem: str) -> list[Path]:
    """The runs called stem, stem-2, stem-3 …, the newest last."""
    numbered = []
    for path in root.glob(f"{escape(stem)}*"):
        suffix = path.name.removeprefix(stem)
        if suffix == "" or (suffix[0] == "-" and suffix[1:].isdigit()):
            numbered.append((int(suffix[1:] or 1), path))
    return [path for _, path in sorted(numbered)]


def _last(folder: Path, max_steps: int) -> Resumption:
    """A run's last checkpoint; its beginning, if it was stopped while its teachers trained."""
    last = folder / "checkpoints" / "last.ckpt"
    if not last.exists() and (folder / "teachers").is_dir():
        return Resumption(folder, None, 0, None, notes=(f"going on with {folder}/teachers",))
    return _from([last], folder, max_steps)


def _from(paths: list[Path], folder: Path, max_steps: int) -> Resumption:
    """The first whole one of these checkpoints."""
    notes: list[str] = []
    while True:
        path = paths.pop(0)
        try:
            entries = checkpoint.read(path)
        except (ValueError, FileNotFoundError) as error:
            if not paths:
                raise
            notes.append(f"{error}: falling back to {paths[0].name}")
            continue
        step, threads = entries["global_step"], entries[checkpoint.KEY]["threads"]
        done = (folder / "summary.json").is_file() and 0 < max_steps <= step
        return Resumption(folder, path, step, threads, done, tuple(notes))


def differences(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """What differs between two configurations and changes the result, as "key: old -> new".

    A step schedule is the same however long the run is, so max_steps may grow under it.
    """
    old, new = _flat(before), _flat(now)
    harmless: tuple[str, ...] = HARMLESS
    if new.get("model.schedule") == "step":
        harmless = (*HARMLESS, "trainer.max_steps")
    return [
        f"{key}: {old.get(key)} -> {new.get(key)}"
        for key in sorted(old.keys() | new.keys())
        if old.get(key) != new.get(key)
        and not any(key == name or key.startswith(f"{name}.") for name in harmless)
    ]


def check(found: Resumption, config: str, override: bool) -> list[str]:
    """Compares a run's configuration with the one to go on under.

    Args:
        found: the run.
        config: the configuration, as YAML.
        override: whether differences are taken knowingly.

    Returns:
        Lines that say what applies.

    Raises:
        ValueError: they differ in what changes the result.
    """
    before = yaml.safe_load((found.folder / "config.yaml").read_text())
    apart = differences(before, yaml.safe_load(config))
    if found.threads not in (None, threads := torch.get_num_threads()):
        apart.append(f"threads: {found.threads} -> {threads}")
    if apart and not override:
        raise ValueError(
            f"{found.folder} was configured otherwise: {'; '.join(apart)}; "
            "--resume_override true takes the new values"
        )
    return [f"from here on {line}" for line in apart]


def _flat(config: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat

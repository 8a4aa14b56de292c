"""Going on where a run stopped: which checkpoint, and whether the configuration still fits it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from glob import escape
from pathlib import Path
from typing import Any

import torch
import yaml

from lit_makemore.files import replacing
from lit_makemore.model import KEY, read
from lit_makemore.runs.earlier_options import modernised
from lit_makemore.runs.folder import is_finished

SAME_RESULT = (  # options that may differ: they change no digit of the result
    "config",
    "runs_dir",
    "ckpt_path",
    "threads",
    "diagnostics",
    "trainer.enable_progress_bar",
    "trainer.profiler",
    "trainer.log_every_n_steps",
    "trainer.max_time",
    "trainer.logger",
    "data.predict_path",
    "data.url",
)


@dataclass(frozen=True)
class Resumption:
    """Where a run goes on.

    Args:
        folder: the run folder it goes on in; None for a new one.
        path: the checkpoint; None to begin again, in this folder.
        step: updates made by then.
        threads: how many threads made them; None if it begins again.
        engine: what stepped them; None if it begins again.
        finished: whether the run has its summary and is as long as asked for.
        notes: lines for the user.
        model: the hyper-parameters of a checkpoint without a run folder; None with one.
    """

    folder: Path | None
    path: Path | None = None
    step: int = 0
    threads: int | None = None
    engine: str | None = None
    finished: bool = False
    notes: tuple[str, ...] = ()
    model: dict[str, Any] | None = None


def find(
    resume: str, root: str | Path, name: str | None, stem: str, max_steps: int
) -> Resumption | None:
    """The checkpoint to go on from.

    Args:
        resume: "true": the last checkpoint of the run.
            "auto": its newest whole checkpoint; without one the run starts again in its folder;
            None if there is no run.
            Otherwise: a run folder, or a checkpoint. A checkpoint that does not lie in a run folder
            is continued in a new one.
        root: where run folders lie.
        name: the name of the run; None for the newest run named stem, or stem with a number. The
            newest is the one whose config.yaml was written last.
        stem: see name.
        max_steps: how long the run is asked to be; -1 without an end.

    Raises:
        FileNotFoundError: there is nothing to go on from; not for "auto".
        ValueError: the checkpoint is not a whole one of this program; not for "auto".
    """
    if resume not in ("true", "auto"):
        return _at(Path(resume), max_steps)
    runs = [Path(root) / name] if name is not None else _runs_of(Path(root), stem)
    folders = [run for run in runs if (run / "config.yaml").is_file()]
    if not folders and resume == "auto":
        return None
    if not folders:
        raise FileNotFoundError(f"there is no run {name or stem} in {root}; leave out --resume")
    newest = max(folders, key=lambda run: (run / "config.yaml").stat().st_mtime_ns)
    if resume == "true":
        return _last(newest, max_steps)
    found = newest / "checkpoints"
    try:
        return _first_whole([found / "last.ckpt", found / "best.ckpt"], newest, max_steps)
    except (ValueError, FileNotFoundError):
        return Resumption(
            newest, notes=(f"no complete checkpoint in {newest}: starting again there",)
        )


def _runs_of(root: Path, stem: str) -> list[Path]:
    """The runs named stem, stem-2, stem-3 …"""
    found = []
    for path in root.glob(f"{escape(stem)}*"):
        number = path.name.removeprefix(stem)
        if number == "" or (number[0] == "-" and number[1:].isdigit()):
            found.append(path)
    return found


def _at(path: Path, max_steps: int) -> Resumption:
    """Going on with a run folder or a checkpoint that is named."""
    if path.is_dir():
        return _last(path.resolve(), max_steps)
    folder = path.resolve().parent.parent
    if path.is_file() and not (folder / "config.yaml").is_file():
        return _lone(path, folder)
    return _first_whole([path], folder, max_steps)


def _lone(path: Path, around: Path) -> Resumption:
    """Going on in a new folder from a checkpoint that came without its run folder."""
    parameters = read(path).get("hyper_parameters")
    if not isinstance(parameters, dict):
        raise ValueError(f"{path} is not a whole checkpoint (no hyper_parameters); use another one")
    note = (
        f"there is no {around / 'config.yaml'}: going on in a new folder; only the network, its "
        "optimizer and its words are compared, --data and --trainer options must be repeated"
    )
    return replace(_first_whole([path], around, -1), folder=None, notes=(note,), model=parameters)


def _last(folder: Path, max_steps: int) -> Resumption:
    """The last checkpoint of a run; its beginning, if it was stopped while its teachers trained."""
    last = folder / "checkpoints" / "last.ckpt"
    if not last.exists() and (folder / "teachers").is_dir():
        return Resumption(
            folder, notes=(f"no checkpoint yet: continuing with its teachers in {folder}/teachers",)
        )
    return _first_whole([last], folder, max_steps)


def _first_whole(paths: list[Path], folder: Path, max_steps: int) -> Resumption:
    """Going on from the first of these checkpoints that is whole."""
    notes: list[str] = []
    for path, next_one in zip(paths, [*paths[1:], None], strict=True):
        try:
            entries = read(path)
        except (ValueError, FileNotFoundError) as error:
            if next_one is None:
                raise
            notes.append(f"{error}: falling back to {next_one.name}")
            continue
        step, ours = entries["global_step"], entries[KEY]
        done = is_finished(folder) and 0 < max_steps <= step
        return Resumption(folder, path, step, ours["threads"], ours["engine"], done, tuple(notes))
    raise AssertionError("there is at least one path")


def differences(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """What differs between two configurations and changes the result, as "key: old -> new".

    A step schedule is the same however long the run is: under it max_steps and max_epochs may
    differ.
    """
    old, new = that_count(before), that_count(now)
    by_length = ("trainer.max_steps", "trainer.max_epochs")
    harmless = by_length if new.get("model.schedule") == "step" else ()
    return [
        f"{key}: {old.get(key)} -> {new.get(key)}"
        for key in sorted(old.keys() | new.keys())
        if old.get(key) != new.get(key) and key not in harmless
    ]


def that_count(config: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a configuration that change its result, by their names as they are typed."""
    return {
        key: value
        for key, value in _flat(config).items()
        if not any(key == name or key.startswith(f"{name}.") for name in SAME_RESULT)
    }


def check(found: Resumption, config: str, override: bool) -> list[str]:
    """Compares the configuration of a run with the one to go on under.

    Args:
        found: the run.
        config: the configuration, as YAML.
        override: whether the user accepts differences.

    Returns:
        Lines that say what applies from here on.

    Raises:
        ValueError: they differ in what changes the result.
    """
    now = yaml.safe_load(config)
    if found.folder is None:
        before, now = _by_itself(found, now)
    else:
        before = modernised(yaml.safe_load((found.folder / "config.yaml").read_text("utf-8")))
    apart = differences(before, now)
    if found.threads not in (None, threads := torch.get_num_threads()):
        apart.append(f"threads: {found.threads} -> {threads}")
    if apart and not override:
        raise ValueError(
            f"{found.folder or found.path} was trained with another configuration: "
            f"{'; '.join(apart)}; to use the new values, add --resume_override true"
        )
    return [f"changed from here on: {line}" for line in apart]


def _by_itself(found: Resumption, now: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What a lone checkpoint says of its configuration, and the same part of the present one."""
    assert found.model is not None
    stored: dict[str, Any] = json.loads(json.dumps(found.model))  # lists for tuples, as in YAML
    before = {name: value for name, value in stored.items() if name in now["model"]}
    return (
        {"model": before, "data": {"block_size": stored["block_size"]}},
        {
            "model": {name: now["model"][name] for name in before},
            "data": {"block_size": now["data"]["block_size"]},
        },
    )


def _flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat


def take_over(folder: Path, found: Resumption) -> None:
    """Deletes summary.json and samples.txt, and copies the chosen checkpoint to last.ckpt."""
    for name in ("summary.json", "samples.txt"):
        (folder / name).unlink(missing_ok=True)
    last = folder / "checkpoints" / "last.ckpt"
    if found.path and not (last.exists() and found.path.samefile(last)):
        with replacing(last) as file:
            file.write(found.path.read_bytes())

"""Going on where a run stopped: which checkpoint, and whether the configuration still fits it."""

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import torch
import yaml

from lit_makemore.model import KEY, read
from lit_makemore.runs.folder import is_finished, read_config

# options that may differ: they change no digit of the result
SAME_RESULT = "config runs_dir ckpt_path published threads all_words diagnostics".split()
SAME_RESULT += "trainer.enable_progress_bar trainer.profiler trainer.log_every_n_steps".split()
SAME_RESULT += "trainer.max_time trainer.logger data.predict_path data.url".split()
# options of the Trainer that say when a run ends
ENDS = ("max_steps", "max_epochs", "max_time", "min_steps", "min_epochs", "callbacks")

OF_A_RUN = {"global_step": int, "loops": dict, "callbacks": dict, "optimizer_states": list}
OF_A_RUN |= {"state_dict": dict, "pytorch-lightning_version": str}  # entries of a checkpoint


class Resumption(NamedTuple):
    """Where a run goes on."""

    folder: Path
    note: str = ""  # for the user
    path: Path | None = None  # of the checkpoint; None to begin again, in this folder
    step: int = 0  # updates made by then
    threads: int | None = None  # how many made them; None if it begins again
    loggers: Sequence[tuple[str, Any]] = ()  # the user's own: class, and version or id

    @property
    def purge_step(self) -> int:
        """What was logged from this step on is logged again, and must not show twice."""
        return self.step + 1 if self.step else 0


def find(resume: str, root: str | Path, name: str | None, stem: str) -> Resumption | None:
    """Where to go on; FileNotFoundError or ValueError if there is no whole checkpoint.

    resume is a run folder, a checkpoint in one, "true" or "auto": the named run under `root`, or
    the one begun last of stem, stem-2 … "auto" also takes best.ckpt, or begins again in the folder;
    it is None if there is no run.
    """
    folder, auto = Path(resume).resolve(), resume == "auto"
    if auto or resume == "true":
        called = re.compile(re.escape(name) if name is not None else rf"{re.escape(stem)}(-\d+)?")
        runs = [
            one for one in Path(root).glob("*/config.yaml") if called.fullmatch(one.parent.name)
        ]
        if not runs and auto:
            return None
        if not runs:
            raise FileNotFoundError(f"there is no run {name or stem} in {root}; leave out --resume")
        folder = max(runs, key=lambda config: config.stat().st_mtime_ns).parent
    elif not folder.is_dir():
        path, folder = Path(resume), folder.parent.parent
        if path.is_file() and not (folder / "config.yaml").is_file():
            remedy = "put it back into the checkpoints folder of its run"
            raise ValueError(f"{path} cannot be continued without its run folder; {remedy}")
        return _from(path, folder)
    last, note = folder / "checkpoints" / "last.ckpt", ""
    for path in (last, last.with_name("best.ckpt")) if auto else ():
        try:
            return _from(path, folder, note)
        except (ValueError, FileNotFoundError) as error:
            note = f"{error}: falling back to best.ckpt"
    if auto:
        return Resumption(folder, f"no complete checkpoint in {folder}: starting again there")
    if not last.exists() and (folder / "teachers").is_dir():  # it was stopped while they trained
        return Resumption(folder, f"no checkpoint yet: continuing with the teachers in {folder}")
    return _from(last, folder)


def _from(path: Path, folder: Path, note: str = "") -> Resumption:
    entries = read(path)
    if not all(isinstance(entries.get(name), kind) for name, kind in OF_A_RUN.items()):
        raise ValueError(f"{path} holds a network, and no run to go on with; use last.ckpt")
    step, threads = entries["global_step"], entries[KEY]["threads"]
    loggers = entries.get("loggers", ()) if step else ()  # at 0 the run starts again
    return Resumption(folder, note, path, step, threads, [*map(tuple, loggers)])


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What differs between two configurations and changes the result, as "key: old -> new"."""
    old, new = that_count(before), that_count(now)
    steps = new.get("model.schedule") == "step"  # which is the same however long the run is
    harmless = ("trainer.max_steps", "trainer.max_epochs") if steps else ()
    for callback in [*(old.get("trainer.callbacks") or ()), *(new.get("trainer.callbacks") or ())]:
        (callback.get("init_args") or {}).pop("patience", None)  # which only says when to stop
    return [
        f"{key}: {old.get(key)} -> {new.get(key)}"
        for key in sorted({*old, *new}.difference(harmless))
        if old.get(key) != new.get(key)
    ]


def that_count(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """The options of a configuration that change its result, by their names as they are typed."""
    found: dict[str, Any] = {}
    for key, value in config.items():
        if (name := prefix + key) not in SAME_RESULT:
            found |= that_count(value, f"{name}.") if isinstance(value, dict) else {name: value}
    return found


def finished(found: Resumption, config: str) -> list[str]:
    """What must be larger (one of these) if a run that has ended by itself shall go on.

    Nothing if it has not ended, or the configuration (YAML) now ends it at another time. ValueError
    if diagnostics.fail_on would stop it again.
    """
    before, now, failed = _before(found), yaml.safe_load(config), found.folder / "failed.txt"
    if failed.is_file() and before == now:
        raise ValueError(f"{failed.read_text('utf-8')}; to go on, change --diagnostics.fail_on")
    before, now = before["trainer"], now["trainer"]
    if not (found.path and is_finished(found.folder)):
        return []
    if 0 < now["max_steps"] <= found.step:
        return ["--trainer.max_steps"]
    if any(before.get(name) != now[name] for name in ENDS):
        return []
    limits = [f"--trainer.{name}" for name in ENDS[:3] if now[name] not in (None, -1)]
    return limits + ["the patience of a callback"] * bool(now["callbacks"])


def check(found: Resumption, config: str, override: bool) -> list[str]:
    """What changes from here on under a configuration (YAML); ValueError without override."""
    apart = differences(_before(found), yaml.safe_load(config))
    if found.threads not in (None, threads := torch.get_num_threads()):
        apart.append(f"threads: {found.threads} -> {threads}")
    if apart and not override:
        said = f"{found.folder} was trained with another configuration: {'; '.join(apart)}"
        raise ValueError(f"{said}; to use the new values, add --resume_override true")
    return [f"changed from here on: {line}" for line in apart]


def _before(found: Resumption) -> dict[str, Any]:
    path = found.folder / "config.yaml"
    with suppress(yaml.YAMLError, UnicodeDecodeError):
        config = read_config(path)
        if isinstance(config, dict) and isinstance(config.get("trainer"), dict):
            return config
    raise ValueError(f"{path} is damaged; restore it, or begin another run under another --name")

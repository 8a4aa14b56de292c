"""The folder of a run: its name, its lock, what lies in it."""

import json
import os
import shutil
from contextlib import suppress
from itertools import count, islice
from pathlib import Path
from typing import IO, Any

import yaml

from lit_makemore.words.vocab import CONTROL

try:
    import fcntl
except ImportError:  # there is no lock on Windows; two runs only have different names
    fcntl = None  # type: ignore[assignment]

MOST = 50_000  # bytes, and parts, of a configuration


class RunFolder:
    """The folder of one training run, locked from `open` to `close` or to the end of the process.

    It has config.yaml, TensorBoard's events, checkpoints/ (best.ckpt, last.ckpt, all_words.ckpt),
    the runs teachers/1 … and all_words/, summary.json and samples.txt (what it reached), failed.txt
    (why fail_on has stopped it). Without a name it is called stem, or stem with the first free
    number. `resumed` is the folder of the run to go on with, if there is one.
    """

    def __init__(
        self, root: str | Path, name: str | None, stem: str, resumed: Path | None = None
    ) -> None:
        self._root, self._name, self._stem, self._resumed = Path(root), name, stem, resumed
        self.path: Any = None  # a Path from `open` on, on all processes of a fit
        self._lock: IO[str] | None = None

    def open(self) -> Path:
        """Makes the folder, or takes the resumed one, and locks it; OSError if it is not free."""
        if self.path is None:
            self.path = self._resumed or self._create()
            self._lock = alone(self.path, wait=False)
            for left in (*self.path.glob(".*.tmp"), *self.path.glob("*/.*.tmp")):
                left.unlink(missing_ok=True)  # of a process that was killed
        return Path(self.path)

    @property
    def checkpoints(self) -> Path:
        return Path(self.path, "checkpoints")

    def _create(self) -> Path:
        name = None if self._name is None else plain(self._name)
        for number in count(1):
            path = self._root / (name or (self._stem if number == 1 else f"{self._stem}-{number}"))
            try:
                path.mkdir(parents=True)
                return path
            except FileExistsError as error:
                if not os.path.lexists(path):  # the root is a link to nowhere
                    raise
                if name and (path / ".lock").exists() and not (path / "config.yaml").exists():
                    return path  # of a process that was killed before it had begun, or is beginning
                if name:
                    remedy = "continue it with --resume true, or choose another --name"
                    raise FileExistsError(f"{path} exists; {remedy}") from error
        raise AssertionError

    def discard(self) -> None:
        """Deletes the folder if this process has made it, and that of all runs if it is empty."""
        if self._lock is not None and self._resumed is None:
            shutil.rmtree(self.path, ignore_errors=True)
            with suppress(OSError):  # other runs are there
                self._root.rmdir()

    def close(self) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None


def plain(name: str) -> str:
    """The name; raises ValueError if it is more or less than the name of a folder."""
    odd = CONTROL.search(name) or len(os.fsencode(name)) > 255
    if name != os.path.basename(name) or name in ("", ".", "..") or odd:
        raise ValueError(f"--name {name!r} must be a plain folder name; --runs_dir says where")
    return name


def read_config(path: Path, loader: Any = yaml.SafeLoader) -> Any:
    """What a YAML file holds; raises ValueError if that is more than a configuration can."""
    with suppress(RecursionError):
        if path.is_file() and path.stat().st_size <= MOST:
            found = yaml.load(path.read_text("utf-8"), loader)
            parts = json.JSONEncoder(default=str, skipkeys=True).iterencode(found)
            if not any(islice(parts, MOST, None)):  # a few anchors may stand for billions
                return found
    raise ValueError(f"{path} has more than {MOST:,} bytes or parts; a configuration is shorter")


def is_finished(folder: Path) -> bool:
    return (folder / "summary.json").is_file()  # which is written last


def alone(folder: Path, wait: bool = True) -> IO[str]:
    """The lock of a folder, held until it is closed. Waits for it, or raises BlockingIOError."""
    lock = (folder / ".lock").open("a")
    try:
        if fcntl is not None:
            fcntl.flock(lock, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        lock.close()
        remedy = "wait for it, or choose another --name"
        raise BlockingIOError(f"{folder} is in use by another process; {remedy}") from error
    return lock

"""The folder of a run: its name, its lock, what lies in it."""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count, islice
from pathlib import Path
from typing import Any

import yaml

from lit_makemore.words.vocab import CONTROL

try:
    import fcntl
except ImportError:  # there is no lock on Windows; two runs only have different names
    fcntl = None  # type: ignore[assignment]


MOST = 50_000  # bytes, and parts, of a configuration


class RunFolder:
    """The folder of one training run, locked from `open` to `close` or to the end of the process.

        config.yaml          the whole configuration; feed it to fit, validate or test
        events.out.*         TensorBoard's
        teachers/, all_words/  1, 2 …: the runs of its teachers; the run on all words
        checkpoints/         best.ckpt by validation loss, last.ckpt; all_words.ckpt
        summary.json         what the run reached
        samples.txt          names from the best checkpoint
        failed.txt           why diagnostics.fail_on has stopped it
        .lock                held while the run lives

    A run without a name is called stem, or stem with the first free number. `resumed` is the folder
    of the run to go on with, if there is one.
    """

    def __init__(
        self, root: str | Path, name: str | None, stem: str, resumed: Path | None = None
    ) -> None:
        self._root, self._name, self._stem, self._resumed = Path(root), name, stem, resumed
        self.path: Path | None = None  # known from `open` on, on all processes of a fit
        self._lock: int | None = None

    def open(self) -> Path:
        """Makes the folder, or takes the resumed one, and locks it; only the first time.

        ValueError or OSError if the name is no plain one, or taken, or the folder is in use.
        """
        if self.path is None:
            self.path = self._resumed or self._create()
            lock = os.open(self.path / ".lock", os.O_CREAT | os.O_RDWR)
            try:
                if fcntl is not None:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                os.close(lock)
                remedy = "wait for it, or choose another --name"
                raise BlockingIOError(
                    f"{self.path} is in use by another process; {remedy}"
                ) from error
            self._lock = lock
            for left in (*self.path.glob(".*.tmp"), *self.path.glob("*/.*.tmp")):
                left.unlink(missing_ok=True)  # of a process that was killed
        return self.path

    @property
    def checkpoints(self) -> Path:
        """Where best.ckpt and last.ckpt lie, once it is open."""
        assert self.path is not None
        return self.path / "checkpoints"

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
        if self._lock is not None and self.path is not None and self._resumed is None:
            shutil.rmtree(self.path, ignore_errors=True)
            with suppress(OSError):  # other runs are there
                self._root.rmdir()

    def close(self) -> None:
        """Gives the lock back."""
        if self._lock is not None:
            os.close(self._lock)
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
    """Whether a run has its summary, which is written last."""
    return (folder / "summary.json").is_file()


def taken(path: Path) -> RunFolder | None:
    """Makes a run folder where there is none, and locks it; None if another process holds it."""
    path.mkdir(parents=True, exist_ok=True)
    with suppress(BlockingIOError):
        (folder := RunFolder(path.parent, path.name, path.name, path)).open()
        return folder
    return None


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Inside the block no other process is in such a block of the folder. Waits for its turn."""
    with (folder / ".lock").open("a") as lock:
        if fcntl is not None:
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield

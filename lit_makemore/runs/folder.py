"""The run folder: its name, its lock."""

import os
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows has no flock; the folder's name alone keeps runs apart there
    fcntl = None  # type: ignore[assignment]


class Stopped(BaseException):
    """A signal has ended the run, after its state was saved.

    Args:
        signum: the signal.
        message: a line for whoever watches.
    """

    def __init__(self, signum: int, message: str) -> None:
        super().__init__(message)
        self.signum = signum


class Run:
    """One training run's folder, locked as long as this process lives.

        config.yaml          the whole configuration; feed it to fit, validate or test
        events.out.*         TensorBoard's
        guides/              what counting achieves, for TensorBoard
        teachers/            1, 2 …: the runs of the teachers it trained
        checkpoints/         best.ckpt by validation loss, last.ckpt
        summary.json         what the run reached
        samples.txt          names from the best checkpoint
        .lock                held while the run lives

    Args:
        path: the folder, which must exist.

    Raises:
        BlockingIOError: a living process has it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        lock = os.open(path / ".lock", os.O_CREAT | os.O_RDWR)  # closed, and so freed, at exit
        if fcntl is not None:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(lock)
                raise BlockingIOError(
                    f"{path} is in use by another process; wait for it, or choose another --name"
                ) from None
        self._lock = lock
        for left in (*path.glob(".*.tmp"), *path.glob("*/.*.tmp")):  # by a process that was killed
            left.unlink(missing_ok=True)

    def close(self) -> None:
        """Gives the lock back, as the end of the process would."""
        os.close(self._lock)

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"


def create_run(root: str | Path, name: str | None, stem: str) -> Run:
    """Makes a folder that no other run has: root/name, or root/stem with the first free suffix.

    Raises:
        FileExistsError: the name is taken.
        ValueError: it is no plain folder name.
    """
    root = Path(root)
    if name is not None:
        if name != os.path.basename(name) or name in ("", ".", ".."):
            raise ValueError(
                f"--name {name!r} must be a plain folder name; --runs_dir says where it lies"
            )
        path = root / name
        try:
            path.mkdir(parents=True)
        except FileExistsError:
            raise FileExistsError(
                f"{path} exists; go on with it by --resume true, or choose another --name"
            ) from None
        return Run(path)
    number = 1
    while True:
        path = root / (stem if number == 1 else f"{stem}-{number}")
        try:
            path.mkdir(parents=True)
            return Run(path)
        except FileExistsError:
            number += 1

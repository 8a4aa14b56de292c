"""Builds native.cpp with the compiler of this machine, once, and loads it.

The library lies in the user's cache folder. Its name follows from the source, the compiler, the
flags and the processor, because a home folder may be shared by unlike machines. The name ends in a
checksum: what is not the file that was built is built again, for it would end the process.
"""

import ctypes
import hashlib
import logging
import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
from contextlib import suppress
from functools import cache
from pathlib import Path
from threading import Lock, Thread
from time import perf_counter

log = logging.getLogger(__name__)

SOURCE = Path(__file__).with_name("native.cpp")
# No -ffast-math: a NaN must stay a NaN. No compiler chooses how numbers are rounded.
FLAGS = (
    *("-std=c++17", "-O3", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math"),
    *("-shared", "-fPIC"),
)
# All instructions of this processor, and several threads. Not every compiler knows both flags:
# Apple's has no OpenMP, and on some processors no -march=native.
EXTRA: tuple[tuple[str, ...], ...] = (("-march=native", "-fopenmp"), ("-march=native",), ())
CACHE = "~/Library/Caches" if sys.platform == "darwin" else "~/.cache"
PATIENCE = 300  # seconds; it takes a few
_ONE_AT_A_TIME = Lock()


class BuildError(Exception):
    """The library cannot be had; the message is one line that says why and what to do."""


@cache
def library() -> ctypes.CDLL:
    """The library, built if this machine has not built it before; BuildError if that fails."""
    path = _built()
    try:
        try:
            return ctypes.CDLL(str(path))
        except OSError:
            if not os.access(path, os.X_OK):  # a folder mounted noexec
                raise
            path.unlink(missing_ok=True)  # built on another machine
            return ctypes.CDLL(str(_built()))
    except OSError as error:
        remedy = "let XDG_CACHE_HOME name a folder that may hold programs"
        raise BuildError(f"{path} cannot be loaded ({error}); {remedy}") from error


def ahead() -> None:
    """Begins to build it, while the program imports what it needs. Errors are for `library`."""

    def build() -> None:
        with suppress(BuildError):
            _built()

    Thread(target=build).start()


def compiler() -> list[str] | None:
    """The command of the C++ compiler: $CXX, else c++, g++ or clang++; None if there is none."""
    if named := os.environ.get("CXX", "").strip():
        try:
            return shlex.split(named)
        except ValueError as error:  # a quotation mark alone
            raise BuildError(f"the variable CXX is no command: {named} ({error})") from error
    found = (shutil.which(name) for name in ("c++", "g++", "clang++"))
    return next(([path] for path in found if path), None)


def _built() -> Path:
    """The path of the library, which exists afterwards."""
    if (command := compiler()) is None:
        raise BuildError("there is no C++ compiler; install g++, or name one by the variable CXX")
    place = Path(os.environ.get("XDG_CACHE_HOME") or CACHE) / "lit_makemore"
    try:
        place = place.expanduser()
        with _ONE_AT_A_TIME:
            return _found_or_built(place, command)
    except RuntimeError as error:  # a container: no HOME, and a number without a user
        remedy = "let XDG_CACHE_HOME name a folder to store it in"
        raise BuildError(f"there is no home folder; {remedy}") from error
    except OSError as error:
        raise BuildError(
            f"nothing can be stored in {place} ({error.strerror}); let XDG_CACHE_HOME name "
            "another folder"
        ) from error


def _found_or_built(place: Path, command: list[str]) -> Path:
    made_of = SOURCE.read_bytes(), _run([*command, "--version"]).stdout, _processor()
    key = hashlib.sha256(repr((*made_of, FLAGS, EXTRA)).encode()).hexdigest()[:16]
    place.mkdir(parents=True, exist_ok=True, mode=0o700)
    for path in place.glob(f"native-{key}-*.so"):
        if _is_as_built(path):
            return path
    begun = perf_counter()
    # Other processes see the library only when it is whole.
    with tempfile.TemporaryDirectory(dir=place) as folder:
        unfinished = Path(folder) / "native.so"
        for extra in EXTRA:
            if not (error := _compile(command, [*FLAGS, *extra], unfinished)):
                break
        else:
            raise BuildError(f"{command[0]} cannot build {SOURCE.name}: {error}")
        path = place / f"native-{key}-{_checksum(unfinished)}.so"
        with unfinished.open("rb") as file:
            os.fsync(file.fileno())
        unfinished.replace(path)
    log.info("built %s in %.1f s; the next run finds it", SOURCE.name, perf_counter() - begun)
    return path


def _is_as_built(path: Path) -> bool:
    """Whether a library is whole, and was built by this user: it may be anybody's folder."""
    try:
        ours = not hasattr(os, "getuid") or path.stat().st_uid == os.getuid()
        return ours and path.is_file() and path.stem.endswith(_checksum(path))
    except OSError:
        return False


def _checksum(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def _compile(command: list[str], flags: list[str], target: Path) -> str | None:
    """The first error of the compiler, if it fails."""
    # Its own temporary files lie beside the library: /tmp may be full or noexec.
    done = _run([*command, *flags, str(SOURCE), "-o", str(target)], TMPDIR=str(target.parent))
    if not done.returncode and target.is_file():
        return None
    lines = (done.stderr or done.stdout).strip().splitlines()
    errors = [line for line in lines if "error" in line] or lines or ["no message"]
    return errors[0].strip()


def _run(command: list[str], **variables: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            env={**os.environ, **variables},
            start_new_session=True,  # Ctrl-C and scancel are for this process, which saves first
            stdin=subprocess.DEVNULL,
            timeout=PATIENCE,
        )
    except subprocess.TimeoutExpired as error:
        raise BuildError(f"the compiler {command[0]} does not end; see CXX") from error
    except OSError as error:
        raise BuildError(
            f"the compiler {command[0]} cannot be started ({error.strerror}); name another one by "
            "the variable CXX"
        ) from error


def _processor() -> str:
    """What the machine code depends on: the architecture, and the instructions there are."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:  # not Linux
        return platform.machine() + platform.processor()
    features = [line for line in lines if line.startswith(("flags", "Features", "model name"))]
    return platform.machine() + "".join(sorted(set(features)))

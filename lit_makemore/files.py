"""Files: written whole or not at all; where the shipped ones lie."""

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO
from uuid import uuid4

from lit_makemore.words.vocab import visible

SHIPPED = ("configs", "data")  # in a checkout beside the package, in an installation inside it
PACKAGE = Path(__file__).resolve().parent


@contextmanager
def replacing(path: str | Path) -> Iterator[IO[bytes]]:
    """Opens a temporary file that replaces `path`, whole, when the block ends without an error."""
    path = Path(os.path.realpath(path))  # the file that a link points to, not the link
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder; name a file")
    if path.exists() and not path.is_file():  # a pipe or a device cannot be replaced
        with path.open("wb") as file:
            yield file
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    # In the same folder: renaming is atomic within one file system only.
    temporary = path.with_name(f".{path.name}.{uuid4().hex}.tmp")
    try:
        with temporary.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())  # whole, even if the machine stops
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> None:
    write_parts(path, [text])


def write_parts(path: str | Path | None, parts: Iterable[str]) -> None:
    """Writes parts of a text, each as soon as it is there, to a file; to stdout if path is None."""
    if path is None:
        sys.stdout.writelines(map(visible, parts) if sys.stdout.isatty() else parts)
        return
    with replacing(path) as file:
        file.writelines(part.encode() for part in parts)


def local(path: str) -> str:
    """A path with the home folder in place of ~; raises ValueError for an address."""
    if "://" in path:
        raise ValueError(f"{path} is no path of this machine; copy or mount it first")
    found = os.path.expanduser(path)
    if found.startswith("~") and not os.path.exists(found):
        raise ValueError(f"{path}: there is no such home folder; write the whole path")
    return found


def find(path: str | Path) -> Path:
    """The path itself if a file is there or none ships under this name; else the shipped file."""
    path = Path(local(str(path)))
    if not path.exists() and path.parts and path.parts[0] in SHIPPED:
        for root in (PACKAGE.parent, PACKAGE):
            if (root / path).is_file():
                return root / path
    return path

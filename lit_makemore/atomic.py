"""Files that are there whole or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO
from uuid import uuid4


@contextmanager
def replacing(path: str | Path) -> Iterator[IO[bytes]]:
    """Opens a file that takes its name when the block ends well, and vanishes otherwise.

    A reader sees the previous file or the new one, never a part, whenever the machine stops.
    """
    path = Path(path).resolve()  # what a link points to is replaced, not the link
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder; name a file")
    if path.exists() and not path.is_file():  # a pipe or a device: nothing to replace
        with path.open("wb") as file:
            yield file
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(
        f".{path.name}.{uuid4().hex}.tmp"
    )  # beside it, so that renaming is atomic
    try:
        with temporary.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> None:
    """Writes a UTF-8 file that way."""
    with replacing(path) as file:
        file.write(text.encode())

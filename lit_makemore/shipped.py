"""The files that come with the program, found from any working folder: configs/ and data/.

In a checkout they lie beside the package, in an installation inside it.
"""

from pathlib import Path

FOLDERS = ("configs", "data")
PACKAGE = Path(__file__).resolve().parent


def find(path: str | Path) -> Path:
    """The path itself if a file is there or none ships under this name; else the shipped file."""
    path = Path(path)
    if not path.exists() and path.parts[:1] in [(folder,) for folder in FOLDERS]:
        for root in (PACKAGE.parent, PACKAGE):
            if (root / path).is_file():
                return root / path
    return path

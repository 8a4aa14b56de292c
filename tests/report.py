"""The page of docs/ that a measuring command writes."""

from pathlib import Path


def write_page(path: str | Path, title: str, command: str, doc: str | None, text: str) -> None:
    """What the command does, by the third paragraph of its module's docstring; what it found."""
    about = (doc or "").split("\n\n")[2]
    Path(path).write_text(f"# {title}\n\n`{command}`. {about}\n\n{text}")

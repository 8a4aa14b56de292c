"""The page of docs/ that a measuring command writes, and where it has measured."""

import datetime
import os
from pathlib import Path


def write_page(path: str | Path, title: str, command: str, doc: str | None, text: str) -> None:
    """Writes a page: how the command measures, from its module's docstring, and what it found.

    The docstring has a title and the usage. The page takes the paragraphs after these two. Further
    sections of the page stay.
    """
    about = "\n\n".join((doc or "").split("\n\n")[2:]).strip()
    source = f"The figures come from `{command}`."
    page = Path(path)
    before, mark, further = (page.read_text() if page.exists() else "").partition("\n## ")
    page.write_text(f"# {title}\n\n{source}\n\n{about}\n\n{text}{mark}{further}")


def where() -> str:
    from lit_makemore.runs.report import cpu_name, git_commit  # torch: growth.py measures memory

    return f"{os.cpu_count()} cores, {cpu_name()}, {datetime.date.today()}, commit {git_commit()}"

"""Makes docs/lecture.ipynb: what docs/lecture.md claims, with the cells of docs/lecture_cells.py.

`python docs/lecture.py notebook` calls it. The page has the words and their order; a moment without
a cell has its command instead. Then all cells run, and the notebook is written with what they show.
"""

import json
import os
import re
from base64 import b64decode, b64encode
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image

DOCS = Path(__file__).resolve().parent
NOTEBOOK, CELLS = DOCS / "lecture.ipynb", DOCS / "lecture_cells.py"
INTRO = """# The lecture in Python

The moments of [lecture.md](lecture.md), in its order and with its claims. There they are commands;
here they are cells of Python, with pictures: data, module, Trainer, figure
([python.md](python.md)). Where a cell makes fewer updates than the command, it says so, and its
losses are a little higher. Where the page speaks of a row of a table, look at a line of a picture;
a column is a layer.

All cells take about a minute on one core. `python docs/lecture.py notebook` makes this notebook."""
CLAIM = r"\*\*Claim\.\*\*.*?(?=\n\n(?:```|<!--|\*\*Look for))"
LOOK_FOR = r"\*\*Look for\*\*.*"

Part = tuple[str, str]
"""A cell: markdown or code, and its text."""


def parts(page: str, code: str) -> list[Part]:
    """The cells of the notebook, from the texts of the page and of lecture_cells.py."""
    cells: dict[str, list[Part]] = {}
    for number, source in re.findall(r"^# %% (\d+)\n(.*?)(?=^# %%|\Z)", code, re.S | re.M):
        cells.setdefault(number, []).append(("code", source.strip()))
    found = [("markdown", INTRO), *cells["0"]]
    for section in re.split(r"^(?=###? )", page.replace("](#", "](lecture.md#"), flags=re.M)[1:]:
        title, number = section.splitlines()[0], re.match(r"### (\d+) ", section)
        if number and number[1] in cells:
            claim, look_for = (re.findall(p, section, re.S)[0] for p in (CLAIM, LOOK_FOR))
            found += [("markdown", f"{title}\n\n{claim}"), *cells[number[1]]]
            found.append(("markdown", look_for.strip()))
        else:
            found.append(("markdown", re.sub(r"<!-- .*? -->\n", "", section).strip()))
    return found


def made(found: list[Part]) -> dict[str, Any]:
    """A notebook of these cells, which have not run."""
    cells: list[dict[str, Any]] = []
    for i, (kind, text) in enumerate(found):
        cell = {"cell_type": kind, "id": f"cell-{i}", "metadata": {}, "source": text}
        cells.append(cell | ({"execution_count": None, "outputs": []} if kind == "code" else {}))
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    metadata = {"kernelspec": kernel, "language_info": {"name": "python"}}
    return {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}


def run(notebook: dict[str, Any], folder: Path) -> Any:
    """Runs the cells in a folder, up to the first error; a notebook with what they show."""
    import nbformat
    from nbclient import NotebookClient

    ran, resources = nbformat.from_dict(notebook), {"metadata": {"path": str(folder)}}
    # Lines that overwrite each other, as the progress, leave the last of them.
    how = {"coalesce_streams": True, "record_timing": False, "timeout": 300}
    # The kernel of a notebook draws into its cells, whatever the environment says.
    environment = {**os.environ, "MPLBACKEND": "module://matplotlib_inline.backend_inline"}
    client = NotebookClient(ran, resources=resources, kernel_name="python3", **how)
    client.execute(env=environment)
    return ran


def shrink(notebook: Any) -> None:
    """Pictures in 64 colours."""
    for cell in notebook["cells"]:
        for output in cell.get("outputs", []):
            if png := output.get("data", {}).get("image/png"):
                image, file = Image.open(BytesIO(b64decode(png))).convert("RGB"), BytesIO()
                image.quantize(64).save(file, "PNG", optimize=True)
                output["data"]["image/png"] = b64encode(file.getvalue()).decode()


def write(page: str) -> None:
    ran = run(made(parts(page, CELLS.read_text())), DOCS)
    shrink(ran)
    NOTEBOOK.write_text(json.dumps(ran, indent=1, ensure_ascii=False) + "\n")

"""docs/lecture.ipynb: it has the words of docs/lecture.md, and its cells run."""

import json
import re
from importlib import import_module

import pytest

from tests.conftest import ROOT, needs_names

PAGE = (ROOT / "docs/lecture.md").read_text()
CODE = (ROOT / "docs/lecture_cells.py").read_text()
COMMITTED = json.loads((ROOT / "docs/lecture.ipynb").read_text())


@pytest.fixture
def script(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "docs")
    return import_module("notebook")


def test_the_notebook_has_the_words_and_the_code_of_its_sources(script):
    committed = [(cell["cell_type"], cell["source"]) for cell in COMMITTED["cells"]]
    stale = "run: python docs/lecture.py notebook"
    assert committed == script.parts(PAGE, CODE), stale


def test_a_moment_without_a_cell_has_its_command(script):
    page = "# P\n## A\n### 1 One\n**Claim.** a\nb\n\n```sh\nx\n```\n<!-- lines . -->\n1\n"
    page += "<!-- end -->\n\n**Look for** [c](#d).\n\n## B\n### 2 Two\ntext\n```sh\ny\n```\n"
    page += "<!-- lines . -->\n2\n<!-- end -->\n"
    found = script.parts(page, '"""x"""\n# %% 0\nimport a\n\n# %% 1\nb()\n\n# %% 1\n# c\nd()\n')
    assert found == [
        ("markdown", script.INTRO),
        ("code", "import a"),
        ("markdown", "## A"),
        ("markdown", "### 1 One\n\n**Claim.** a\nb"),
        ("code", "b()"),
        ("code", "# c\nd()"),
        ("markdown", "**Look for** [c](lecture.md#d)."),
        ("markdown", "## B"),
        ("markdown", "### 2 Two\ntext\n```sh\ny\n```\n2"),
    ]


def by_moment(notebook) -> dict[int, list]:
    """The outputs of the cells of each moment."""
    found: dict[int, list] = {0: []}
    number = 0
    for cell in notebook["cells"]:
        if title := re.match(r"### (\d+) ", cell["source"]):
            number = int(title[1])
        elif cell["cell_type"] == "code":
            found.setdefault(number, []).extend(cell["outputs"])
    return found


def text_of(outputs) -> str:
    return "".join(output.get("text", "") for output in outputs)


def check(notebook) -> None:
    """Every moment shows a picture and little text, and the losses of the lecture."""
    found = by_moment(notebook)
    assert {int(number) for number in re.findall(r"# %% (\d+)", CODE)} == found.keys()
    for moment, outputs in found.items():
        pictures = [one for one in outputs if "image/png" in one.get("data", {})]
        assert (len(pictures) > 0) == (moment > 0), moment
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            assert len(text_of(cell["outputs"]).splitlines()) < 15, cell["source"]
            assert not any("\x1b" in text_of([one]) for one in cell["outputs"])
    losses = {moment: re.findall(r"val (\d\.\d{4})", text_of(out)) for moment, out in found.items()}
    assert float(losses[16][0]) == pytest.approx(2.3982, abs=0.02)  # the lecture's
    # Those of docs/lecture.md, of the same updates
    for moment in (3, 16, 20, 21, 22):
        section = re.search(rf"^### {moment} .*?(?=^##)", PAGE, re.S | re.M)[0]
        theirs = re.findall(r"^best weights +\S+ +(\S+)", section, re.M)
        ours = losses[moment][: len(theirs)]
        assert [*map(float, ours)] == pytest.approx([*map(float, theirs)], abs=0.02), moment


def test_the_committed_outputs_are_pictures_and_the_losses_of_the_lecture():
    check(COMMITTED)
    assert (ROOT / "docs/lecture.ipynb").stat().st_size < 1_500_000


@pytest.mark.slow(minutes=2)
@needs_names
def test_every_cell_runs(script, tmp_path):
    pytest.importorskip("nbclient", reason="nbclient is in the extra dev")
    check(script.run(script.made(script.parts(PAGE, CODE)), tmp_path))
    assert [*tmp_path.iterdir()] == []

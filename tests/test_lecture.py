"""docs/lecture.md: every command of the page runs, and shows what the page says that it shows."""

import re
from importlib import import_module

import pytest

from lit_makemore.diagnostics.tensorboard import card
from tests.conftest import ROOT, needs_names

PAGE = (ROOT / "docs" / "lecture.md").read_text()
MOMENTS = re.split(r"^### ", PAGE, flags=re.M)[1:]


@pytest.fixture
def lecture(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "docs")
    return import_module("lecture")


def test_every_moment_has_a_claim_a_command_an_output_and_what_to_look_for():
    assert len(MOMENTS) == 31
    for moment in MOMENTS:
        parts = ["**Claim.**", "```sh\n", "<!-- ", "<!-- end -->", "**Look for**"]
        assert [part for part in parts if part not in moment] == [], moment


def test_the_contents_list_every_moment():
    titles = [moment.splitlines()[0] for moment in MOMENTS]
    assert re.findall(r"^\[(\d.*?)\]\(#", PAGE, flags=re.M) == titles
    anchors = [re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles]
    assert set(re.findall(r"\(#(.*?)\)", PAGE)) == set(anchors)


def test_configs_and_pictures_of_the_lecture_are_those_of_the_page():
    configs = {path.stem for path in (ROOT / "configs" / "lecture").glob("*.yaml")}
    assert set(re.findall(r"configs/lecture/(\w+)\.yaml", PAGE)) == configs
    pictures = {path.name: path for path in (ROOT / "docs" / "lecture").glob("*.png")}
    assert set(re.findall(r"\(lecture/(.*?)\)", PAGE)) == pictures.keys()
    assert all(path.stat().st_size < 60_000 for path in pictures.values())


def test_a_run_is_named_after_its_moment():
    """So that it has a folder of its own, and TensorBoard can show the runs of one moment."""
    for moment in MOMENTS:
        number = int(moment.split()[0])
        for command in re.findall(r"train.py fit .*", moment):
            assert f" --name {number:02d}_" in command
        before = re.findall(r"runs/\{?(\d\d)_", moment)
        assert all(int(one) <= number for one in before)


def test_one_moment_runs_after_those_that_it_needs(lecture, tmp_path, monkeypatch, capfd):
    page = "### 1 One\n```sh\nmkdir -p runs/01_a/checkpoints && touch $_/best.ckpt\n```\n"
    page += "### 2 Two\n```sh\nls runs/01_a/checkpoints; false\n```\n## Three\n```sh\nnone\n```\n"
    monkeypatch.setattr(lecture, "ROOT", tmp_path)
    with pytest.raises(SystemExit, match="1"):
        lecture.run_moment(2, page)
    assert "best.ckpt" in capfd.readouterr().out
    with pytest.raises(SystemExit, match="no moment 3"):
        lecture.run_moment(3, page)


def test_what_a_command_prints_takes_the_place_of_what_the_page_had(lecture, tmp_path):
    page = "```sh\n{}\n```\n<!-- lines ^loss -->\nold\n<!-- end -->\n"
    made = lecture.Lecture(tmp_path, tmp_path).page
    good = page.format("echo loss 3; echo more")
    assert made(good) == good.replace("old", "```\nloss 3\n```")
    for command, error in (("false", SystemExit), ("echo", AssertionError)):
        with pytest.raises(error):
            made(page.format(command))


def test_a_table_and_the_page_of_figures_name_the_card_to_filter_by():
    figures = (ROOT / "docs" / "diagnostics.md").read_text()
    for figure in ("activation_saturated", "activation_std", "gradient_std", "update_ratio"):
        group = card(f"{figure}/hidden1/tanh", 1, all_figures=True).partition("/")[0]
        assert f"`{figure}` (card `{group}`)" in figures
        assert f"| {figure} |" not in PAGE


@pytest.mark.slow(minutes=4)
@needs_names
def test_every_command_runs_and_the_ladder_of_losses_is_the_lectures(lecture, tmp_path):
    (tmp_path / "root").mkdir()
    page = lecture.Lecture(tmp_path / "root", tmp_path).page(PAGE)
    assert {path.name for path in tmp_path.glob("*.png")} == set(
        re.findall(r"\(lecture/(.*?)\)", PAGE)
    )
    runs = re.search("<!-- losses (.*) -->", PAGE)[1].split()
    assert len(runs) == 5
    for run in runs:
        train, val = lecture.published(run)
        row = next(line for line in page.splitlines() if line.startswith(f"| `{run}` | "))
        _, _, ours_train, ours_val, *_ = (cell.strip() for cell in row.split("|")[1:])
        # Published to two digits, or with other random numbers
        assert float(ours_train) == pytest.approx(float(train), abs=0.02), run
        assert float(ours_val) == pytest.approx(float(val), abs=0.02), run

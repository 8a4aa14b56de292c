"""What a run shows, read back from a real TensorBoard and looked at in a real browser."""

import importlib.util
import re
import urllib.parse
from itertools import count
from math import log
from types import SimpleNamespace

import numpy as np
import pytest
from lightning.pytorch.loggers import Logger, TensorBoardLogger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from lit_makemore.cli import main
from lit_makemore.diagnostics.monitor import Monitor
from lit_makemore.diagnostics.settings import Diagnostics
from lit_makemore.diagnostics.tensorboard import card, draw, some, write
from tests.benchmarks.tensorboard_page import CHROMIUM, page, tensorboard
from tests.conftest import WORDS
from tests.fits import fit

STEPS = 120


@pytest.fixture(scope="module")
def board(tmp_path_factory):
    """A TensorBoard that shows two runs: one with all figures, and one with the usual few."""
    folder = tmp_path_factory.mktemp("board")
    words = folder / "words.txt"
    words.write_text("\n".join(WORDS) + "\n")
    arguments = ["fit", "--data.path", str(words), "--data.batch_size", "16"]
    arguments += ["--runs_dir", str(folder / "runs"), "--trainer.max_steps", str(STEPS)]
    arguments += ["--trainer.val_check_interval", "40", "--trainer.log_every_n_steps", "20"]
    arguments += ["--model.n_hidden", "12", "--model.n_layer", "7", "--trainer.accelerator", "cpu"]
    arguments += ["--model.init.logits_gain", "5"]  # too confident
    assert main([*arguments, "--name", "run", "--diagnostics.all_figures", "true"]) == 0
    few = ["--name", "few", "--trainer.max_steps", "20", "--diagnostics.pictures", "false"]
    assert main([*arguments, *few]) == 0
    with tensorboard(folder / "runs") as found:
        yield found


def points(board, tag, run="run"):
    return [
        (step, value) for _, step, value in board.get("plugin/scalars/scalars", run=run, tag=tag)
    ]


def test_scalars_are_there_in_groups_that_sort(board):
    tags = {*board.get("plugin/scalars/tags")["run"]}
    hidden = [f"hidden{i}" for i in range(1, 8)]
    for (
        group
    ) in "activation_mean 4_std 3_saturated activation_dead gradient_mean 5_gradient".split():
        assert {tag for tag in tags if tag.startswith(group)} == {
            f"{group}/{i}/tanh" for i in hidden
        }
    weights = ["embedding/weight", "logits/weight", *(f"{i}/linear/weight" for i in hidden)]
    for group in ("weight_gradient_std", "grad_to_data", "lr_grad_ratio", "6_update"):
        assert {f"{group}/{weight}" for weight in weights} <= tags
    for figure in ("mean", "std", "drift", "gamma", "beta"):
        assert sum(tag.startswith(f"batch_norm_{figure}/") for tag in tags) == 7


def test_by_default_forty_figures_are_shown_the_losses_first(board):
    tags, (guide,) = board.get("plugin/scalars/tags"), guides(board)
    shown = {*tags["few"], *(tag for tag in tags[guide] if tag.startswith("8_"))}
    assert len(shown) <= 40
    groups = sorted({tag.split("/")[0] for tag in shown})
    assert groups == [
        "1_losses", "3_saturated", "4_std", "5_gradient", "6_update", "7_progress", "8_counting",
        "9_best",
    ]  # fmt: skip
    assert {tag for tag in shown if tag.startswith("4_std")} == {
        f"4_std/hidden{i + 1}/tanh" for i in some(7, 5)
    }


def test_probes_are_at_the_updates_that_are_due_and_judged(board):
    due = [1, 10, 50, 100]
    assert [step for step, _ in points(board, "4_std/hidden1/tanh")] == due
    assert [step for step, _ in points(board, "6_update/hidden1/linear/weight")] == due
    assert points(board, "6_update/guide") == [(step, -3.0) for step in due]
    ((step, guess),) = points(board, "initial_loss/uniform")
    assert guess == pytest.approx(log(1 + len(set("".join(WORDS)))))
    (first, loss), *_ = points(board, "1_losses/train")  # the curve begins with the initial loss
    assert first == step == 1
    assert loss > guess + 0.8
    assert points(board, "health/initial_loss") == [(1, 0.0)]
    assert {value for _, value in points(board, "health/nan")} == {1.0}
    text, *_ = board.get("plugin/text/text", run="run", tag="health/text_summary")
    assert "initial_loss at update 1" in text["text"]
    assert "logits_gain" in text["text"]


def test_samples_are_a_table_and_charts_are_laid_out(board):
    texts = board.get("plugin/text/text", run="run", tag="samples/text_summary")
    assert [text["step"] for text in texts] == [40, 80]  # the first and the second validation
    assert texts[0]["text"].count("<tr>") == 11
    tags = board.get("plugin/scalars/tags")["run"]
    (category,) = board.get("plugin/custom_scalars/layout")["category"]
    for chart in category["chart"]:
        assert any(re.match(chart["multiline"]["tag"][0], tag) for tag in tags)


def guides(board):
    return [run for run in board.get("runs") if run.startswith("guides/")]


def test_the_runs_of_a_word_list_share_one_guide(board):
    (guide,) = guides(board)
    for tag in ("1_losses/val", "8_counting/bigram", "6_update/hidden1/linear/weight"):
        steps, levels = zip(*points(board, tag, guide), strict=True)
        assert (steps[0], steps[-1]) == (0, STEPS)
        assert len(set(levels)) == 1


def test_histograms_have_fixed_bins(board):
    tags = board.get("plugin/histograms/tags")["run"]
    assert {tag.split("/")[0] for tag in tags} == {
        "activations", "gradients", "weight_gradients",
    }  # fmt: skip
    steps = board.get("plugin/histograms/histograms", run="run", tag="activations/hidden1/tanh")
    for _, _, buckets in steps:
        assert sum(count for _, _, count in buckets) == pytest.approx(16 * 12)


def test_pictures_are_images(board):
    tags = board.get("plugin/images/tags")["run"]
    assert [tag.split("/")[1] for tag in sorted(tags)] == [
        "1_activations", "2_gradients", "3_weight_gradients", "4_update_ratios", "5_saturation",
        "6_embedding",
    ]  # fmt: skip
    for tag in tags:
        images = board.get("plugin/images/images", run="run", tag=tag, sample="0")
        assert [image["step"] for image in images] == [1, 40, STEPS]
        query = dict(urllib.parse.parse_qsl(images[-1]["query"]))
        assert board.get("plugin/images/individualImage", **query).startswith(b"\x89PNG")


def test_the_hparams_page_opens_with_what_differs_between_runs(board):
    found = board.post("plugin/hparams/experiment", {"experimentName": ""})
    first = [info["name"] for info in found["hparamInfos"] if info.get("differs")]
    assert first == ["steps"]
    assert {"n_hidden", "norm"} < {info["name"] for info in found["hparamInfos"]}
    asked = {"experimentName": "", "allowedStatuses": ["STATUS_SUCCESS", "STATUS_UNKNOWN"]}
    asked |= {"startIndex": 0, "sliceSize": 10}
    groups = board.post("plugin/hparams/session_groups", asked)["sessionGroups"]
    assert {group["hparams"]["steps"] for group in groups} == {20, STEPS}
    for group in groups:
        tags = {metric["name"]["tag"] for metric in group["metricValues"]}
        assert {"1_losses/val", "9_best/val", "9_best/test_novel"} < tags


@pytest.mark.parametrize(
    ("figure", "n_layer", "all_figures", "shown"),
    [
        ("train/loss", 5, False, "1_losses/train"),
        ("initial_loss/network", 5, False, "1_losses/train"),
        ("val/loss", 5, False, "1_losses/val"),
        ("val/loss_novel", 5, False, "1_losses/val_novel"),
        ("update_ratio/hidden1/linear/weight", 5, False, "6_update/hidden1/linear/weight"),
        ("val/bits_per_char", 5, False, None),
        ("val/perplexity", 5, False, None),
        ("val/perplexity", 5, True, "val/perplexity"),
        ("update_ratio/hidden1/norm/weight", 5, False, None),
        ("update_ratio/hidden2/norm/weight", 20, True, "6_update/hidden2/norm/weight"),
        ("health/nan", 5, False, None),
        ("health", 5, False, "health"),  # the text
        ("samples", 5, False, "samples"),
        ("lr-SGD", 5, False, "lr-SGD"),  # of a callback that the user has added
        ("activation_std/hidden2/tanh", 20, False, None),  # of a deep network five layers are shown
        ("activation_std/hidden20/tanh", 20, False, "4_std/hidden20/tanh"),
    ],
)
def test_where_a_figure_is_shown(figure, n_layer, all_figures, shown):
    assert card(figure, n_layer, all_figures) == shown
    assert (some(3, 5), some(20, 5), some(0, 5)) == ({0, 1, 2}, {0, 4, 9, 14, 19}, set())


class Taking(Logger):
    """A logger that takes pictures and texts, as WandbLogger does."""

    name, version = "taking", 0

    def __init__(self) -> None:
        super().__init__()
        self.taken = {}

    def log_hyperparams(self, *args, **kwargs) -> None:
        pass

    def log_metrics(self, metrics, step=None) -> None:
        self.taken |= {(tag, step): value for tag, value in metrics.items()}

    def log_image(self, key, images, step=None) -> None:
        self.taken[key, step] = images[0].shape

    def log_text(self, key, columns, data, step=None) -> None:
        self.taken[key, step] = data[0][0]


def test_pictures_and_texts_go_to_every_logger_that_takes_them():
    logger, picture = Taking(), np.zeros((3, 4, 3), np.uint8)
    with_loggers = SimpleNamespace(is_global_zero=True, loggers=[logger])
    write(with_loggers, 7, {"scalars": {"a": 1.0}, "pictures": {"b": picture}, "texts": {"c": "x"}})
    assert logger.taken == {("a", 7): 1.0, ("b", 7): (3, 4, 3), ("c", 7): "x"}


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here; apt-get install chromium")
@pytest.mark.skipif(importlib.util.find_spec("playwright") is None, reason="no playwright here")
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_lines_and_pictures_are_drawn_in_a_browser(board, tmp_path):
    with page(board, "^(1_losses|6_update)/") as opened:
        drawn = """() => [...document.querySelectorAll("line-chart .series-view > svg > path")]
            .map(p => p.getAttribute("d") || "").filter(d => d.length > 8 && !d.includes("NaN"))"""
        opened.wait_for_function(f"({drawn})().length >= 12")
        assert len(opened.query_selector_all("card-view")) >= 12
        opened.screenshot(path=tmp_path / "page.png")
        assert (tmp_path / "page.png").stat().st_size > 20_000
    with page(board, "^2_pictures/") as opened:
        widths = "[...document.querySelectorAll('card-view img')].map(i => i.naturalWidth)"
        opened.wait_for_function(f"{widths}.filter(w => w > 300).length >= 6")
        assert len(opened.evaluate(widths)) == 6


def read(folder, tag):
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0}).Reload()
    return [(point.step, point.value) for point in events.Scalars(tag)]


def test_counting_and_the_rule_of_thumb_are_level_lines(word_list, tmp_path):
    logger = TensorBoardLogger(tmp_path, name="", version="run")
    arguments = {"val_check_interval": 10, "logger": logger, "log_every_n_steps": 5}
    arguments |= {"max_steps": -1, "max_epochs": 3, "model": {"engine": "autograd"}}
    _, data, _ = fit(word_list, 30, Monitor(Diagnostics(pictures=False)), **arguments)
    (guide,) = (tmp_path / "guides").iterdir()
    assert guide.name.startswith("words-")
    levels = {"update_ratio/hidden1/linear/weight": -3.0}
    levels["val/loss"] = data.baselines["kneser_ney"]["val"]
    levels |= {f"counting/{name}": losses["val"] for name, losses in data.baselines.items()}
    for tag, level in levels.items():
        steps, values = zip(*read(guide, tag), strict=True)
        assert (steps[0], steps[-1]) == (0, 24)
        assert list(values) == pytest.approx([level] * len(values))


def test_runs_share_lines_and_a_longer_or_deeper_one_adds_what_is_missing(tmp_path, monkeypatch):
    clock = count(10**9)  # files of the same second have no order
    monkeypatch.setattr("time.time", lambda: float(next(clock)))
    few, many = {"loss": 2.0, "hidden1": -3.0}, {"loss": 2.0, "hidden1": -3.0, "hidden2": -3.0}
    for lines, end, files in ((few, 100, 1), (few, 50, 1), (many, 200, 2), (few, 200, 2)):
        draw(tmp_path, lines, end)
        assert len(list(tmp_path.glob("events.*"))) == files
    for tag, level in (("loss", 2.0), ("hidden1", -3.0), ("hidden2", -3.0)):
        steps, values = zip(*read(tmp_path, tag), strict=True)
        assert list(steps) == sorted(steps)  # TensorBoard forgets what a step back overtakes
        assert (steps[0], steps[-1]) == (0, 200)
        assert set(values) == {level}

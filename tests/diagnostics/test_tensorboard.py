"""What a run shows, read back from a real TensorBoard and looked at in a real browser."""

import importlib.util
import urllib.parse
from math import log

import pytest

from lit_makemore.cli import main
from tests.conftest import WORDS
from tests.tensorboard_page import CHROMIUM, page, tensorboard

STEPS = 120


@pytest.fixture(scope="module")
def logdir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("board")
    words = folder / "words.txt"
    words.write_text("\n".join(WORDS) + "\n")
    arguments = ["fit", "--data.path", str(words), "--data.batch_size", "16", "--name", "run"]
    arguments += ["--runs_dir", str(folder / "runs"), "--trainer.max_steps", str(STEPS)]
    arguments += ["--trainer.val_check_interval", "40", "--trainer.log_every_n_steps", "20"]
    arguments += ["--model.n_hidden", "12", "--model.n_layer", "11", "--trainer.accelerator", "cpu"]
    assert main([*arguments, "--model.init.logits_gain", "5"]) == 0  # too confident
    return folder / "runs"


@pytest.fixture(scope="module")
def board(logdir):
    with tensorboard(logdir) as found:
        yield found


def points(board, tag, run="run"):
    return [
        (step, value) for _, step, value in board.get("plugin/scalars/scalars", run=run, tag=tag)
    ]


def test_scalars_are_there_in_groups_that_sort(board):
    tags = board.get("plugin/scalars/tags")["run"]
    groups = {}
    for tag in tags:
        groups.setdefault(tag.split("/")[0], []).append(tag.split("/", 1)[1])
    layers = sorted(f"hidden{i}/tanh" for i in range(1, 12))
    for group in ("activation_mean", "activation_std", "activation_saturated", "activation_dead"):
        assert sorted(groups[group]) == layers
    for group in ("gradient_mean", "gradient_std"):
        assert sorted(groups[group]) == layers
    weights = ["embedding/weight", "logits/weight"]
    weights += [f"hidden{i}/linear/weight" for i in range(1, 12)]
    for group in ("weight_gradient_std", "grad_to_data", "lr_grad_ratio"):
        assert sorted(groups[group]) == sorted(weights)
    assert {*weights, "guide"} < set(groups["update_ratio"])
    for figure in ("mean", "std", "drift", "gamma", "beta"):
        assert len(groups[f"batch_norm_{figure}"]) == 11


def test_probes_are_at_the_updates_that_are_due(board):
    due = [1, 10, 50, 100]
    assert [step for step, _ in points(board, "activation_std/hidden1/tanh")] == due
    assert [step for step, _ in points(board, "update_ratio/hidden1/linear/weight")] == due
    assert points(board, "update_ratio/guide") == [(step, -3.0) for step in due]


def test_the_initial_loss_is_beside_that_of_guessing(board):
    ((step, guess),) = points(board, "initial_loss/uniform")
    assert step == 1
    assert guess == pytest.approx(log(1 + len(set("".join(WORDS)))))
    ((step, loss),) = points(board, "initial_loss/network")
    assert step == 1
    assert loss > guess + 0.8


def test_verdicts_are_there(board):
    assert points(board, "health/initial_loss") == [(1, 0.0)]
    assert {value for _, value in points(board, "health/nan")} == {1.0}
    (text,) = board.get("plugin/text/text", run="run", tag="health/text_summary")
    assert "initial_loss at update 1" in text["text"]
    assert "logits_gain" in text["text"]


def test_samples_are_a_table(board):
    texts = board.get("plugin/text/text", run="run", tag="samples/text_summary")
    assert [text["step"] for text in texts] == [40, 80]  # the first and the second validation
    assert texts[0]["text"].count("<tr>") == 11


def test_guides_are_runs_beside_the_losses(board):
    for guide in ("uniform", "bigram", "kneser_ney"):
        for tag in ("train/loss", "val/loss"):
            (first, level), (last, same) = points(board, tag, f"run/guides/{guide}")
            assert (first, last, level) == (0, STEPS, same)


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
        assert [image["step"] for image in images] == [40, STEPS]
        query = dict(urllib.parse.parse_qsl(images[-1]["query"]))
        assert board.get("plugin/images/individualImage", **query).startswith(b"\x89PNG")


def test_hyperparameters_are_there(board):
    found = board.post("plugin/hparams/experiment", {"experimentName": ""})
    assert {"lr", "n_hidden"} <= {info["name"] for info in found["hparamInfos"]}


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here; apt-get install chromium")
@pytest.mark.skipif(importlib.util.find_spec("playwright") is None, reason="no playwright here")
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_lines_and_pictures_are_drawn_in_a_browser(board, tmp_path):
    with page(board, "^(train|val|update_ratio)/") as opened:
        cards = opened.query_selector_all("card-view")
        assert len(cards) >= 12
        lines = opened.eval_on_selector_all(
            "line-chart .series-view > svg > path", "all => all.map(p => p.getAttribute('d'))"
        )
        drawn = [line for line in lines if len(line or "") > 8 and "NaN" not in line]
        assert len(drawn) >= 12
        opened.screenshot(path=tmp_path / "page.png")
        assert (tmp_path / "page.png").stat().st_size > 20_000
    with page(board, "^pictures/") as opened:
        widths = opened.eval_on_selector_all("card-view img", "all => all.map(i => i.naturalWidth)")
        assert len(widths) == 6
        assert min(widths) > 300

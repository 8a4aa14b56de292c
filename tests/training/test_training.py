"""Whole runs from the command line on real data (slow)."""

import json
import subprocess
import sys
from collections import Counter
from math import log

import pytest
import yaml
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from lit_makemore.training.datamodule import NamesDataModule
from lit_makemore.words.corpus import read_corpus
from tests.conftest import ROOT, needs_names

pytestmark = pytest.mark.slow


def fit(tmp_path, config: str, *more: str) -> dict:
    command = [sys.executable, "train.py", "fit", "--config", config, "--runs_dir", str(tmp_path)]
    subprocess.run([*command, "--name", "run", *more], cwd=ROOT, check=True, capture_output=True)
    return json.loads((tmp_path / "run" / "summary.json").read_text())


def unigram_loss(path: str) -> float:
    """What counting characters achieves on the val words, in nats per character."""
    words = list(read_corpus(path).words())
    numbers = NamesDataModule(path).numbers
    train, val = ("".join(f"{words[i]}." for i in part.tolist()) for part in numbers[:2])
    counts = Counter(train)
    return -sum(log(counts[c] / len(train)) for c in val) / len(val)


def test_the_quick_start_beats_counting_characters(tmp_path):
    path = yaml.safe_load((ROOT / "configs/quickstart.yaml").read_text())["data"]["path"]
    summary = fit(tmp_path, "configs/quickstart.yaml")
    assert summary["val_loss"] < unigram_loss(path) - 0.2


def scalars(folder, tag) -> dict[int, float]:
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0}).Reload()
    return {event.step: event.value for event in events.Scalars(tag)}


@needs_names
@pytest.mark.parametrize(
    ("config", "more"),
    [
        ("configs/reference/deep.yaml", []),
        ("configs/reference/logits_bn.yaml", []),
        ("configs/names.yaml", ["--data.batch_size", "64", "--trainer.gradient_clip_val", "0.5"]),
    ],
)
def test_native_steps_have_the_losses_of_autograds(tmp_path, config, more):
    arguments = ["--trainer.max_steps", "1000", "--trainer.log_every_n_steps", "10", *more]
    losses = {}
    for engine in ("autograd", "native"):
        summary = fit(tmp_path / engine, config, *arguments, "--model.engine", engine)
        assert summary["engine"] == engine
        losses[engine] = scalars(tmp_path / engine / "run", "1_losses/train")
    assert list(losses["native"]) == [1, *range(10, 1001, 10)]
    assert losses["native"] == pytest.approx(losses["autograd"], abs=1e-4)


@needs_names
def test_the_recipe_reaches_the_published_loss_with_five_of_five_seeds(tmp_path):
    for seed in range(42, 47):
        summary = fit(tmp_path / str(seed), "configs/names.yaml", "--seed_everything", str(seed))
        assert summary["params"] == 46_997
        assert summary["val_loss"] <= 2.0962, seed


@needs_names
def test_precisions_train_to_the_loss_of_single_precision(tmp_path):
    arguments = ["--trainer.max_steps", "2000", "--trainer.accelerator", "cpu"]
    single, *others = (
        fit(tmp_path / p, "configs/reference/deep.yaml", *arguments, "--trainer.precision", p)
        for p in ("32-true", "64-true", "bf16-mixed")
    )
    for one in others:
        assert one["val_loss"] == pytest.approx(single["val_loss"], abs=0.02)

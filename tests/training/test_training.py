"""Whole runs from the command line on real data (slow)."""

import json
import subprocess
import sys
from collections import Counter
from math import log
from time import perf_counter

import pytest
import torch
import yaml
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from lit_makemore.network.mlp import MLP
from lit_makemore.training.datamodule import NamesDataModule
from lit_makemore.training.engines.compiled import CompiledStep
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


def test_the_quick_start_takes_under_90_seconds_and_beats_counting_characters(tmp_path):
    path = yaml.safe_load((ROOT / "configs/quickstart.yaml").read_text())["data"]["path"]
    begun = perf_counter()
    summary = fit(tmp_path, "configs/quickstart.yaml")
    assert perf_counter() - begun < 90
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
def test_compiled_steps_have_the_losses_of_ordinary_ones(tmp_path, config, more):
    arguments = ["--trainer.max_steps", "1000", "--trainer.log_every_n_steps", "10", *more]
    losses = {}
    for fused in ("false", "true"):
        summary = fit(tmp_path / fused, config, *arguments, "--model.fused", fused)
        assert summary["stepping"] == {"false": "ordinary", "true": "fused"}[fused]
        losses[fused] = scalars(tmp_path / fused / "run", "train/loss")
    assert list(losses["true"]) == list(range(10, 1001, 10))
    assert losses["true"] == pytest.approx(losses["false"], abs=1e-4)


@pytest.mark.filterwarnings("ignore:.*torch.jit.script_method:DeprecationWarning")  # torch's own
def test_the_step_compiles_to_one_graph_once():
    torch._dynamo.utils.counters.clear()
    net = MLP(27, n_hidden=16, n_layer=1)
    step = CompiledStep(net, torch.optim.AdamW(net.parameters(), lr=0.01))
    for n in (1, 5, 2):
        step(torch.randint(0, 27, (n, 8, 3)), torch.randint(0, 27, (n, 8)), [0.01 / n] * n)
    counters = torch._dynamo.utils.counters
    assert counters["stats"]["unique_graphs"] == 1
    assert not counters["graph_break"]


@needs_names
def test_the_recipe_reaches_the_published_loss_with_five_of_five_seeds(tmp_path):
    for seed in range(42, 47):
        summary = fit(tmp_path / str(seed), "configs/names.yaml", "--seed_everything", str(seed))
        assert summary["params"] == 46_997
        assert summary["val_loss"] <= 2.0962, seed


@needs_names
@pytest.mark.parametrize("precision", ["64-true", "bf16-mixed"])
def test_precisions_train_to_the_loss_of_single_precision(tmp_path, precision):
    arguments = ["--trainer.max_steps", "2000", "--trainer.accelerator", "cpu"]
    losses = [
        fit(folder, "configs/reference/deep.yaml", *arguments, "--trainer.precision", p)["val_loss"]
        for folder, p in ((tmp_path / "a", "32-true"), (tmp_path / "b", precision))
    ]
    assert losses[1] == pytest.approx(losses[0], abs=0.02)

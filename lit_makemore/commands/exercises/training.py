"""The judge of whole layers: Lightning's Trainer trains networks of them, as published.

Shapes: B batch, T block_size, V vocab_size.
"""

import inspect
import logging
from collections.abc import Iterator
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor, nn

from lit_makemore.commands.exercises import layers
from lit_makemore.commands.exercises.adapter import Adapted
from lit_makemore.commands.exercises.foreign import Code, Wrong
from lit_makemore.commands.options import NOTHING_KEPT
from lit_makemore.commands.quiet import quiet_lightning
from lit_makemore.training.datamodule import NamesDataModule
from lit_makemore.training.metrics import evaluate
from lit_makemore.training.module import LitMLP

LECTURE, PUBLISHED = 2147483647, 2147483657  # seeds
SIZES = (30, 100, 100, 100, 100, 100, 27)
# By the variance of BatchNorm1d. START with the biased one and ENDS with the unbiased one are
# published; the others are what this project's own layers give.
START = {"biased": 3.3017003536224365, "unbiased": 3.30162024497, "torch": 3.3017003536224365}
ENDS = {"unbiased": (2.4003, 2.3982), "biased": (2.3990, 2.3967), "torch": (2.4016, 2.3994)}


class Network(nn.Module):
    """Five hidden layers of the reader's, with weights that a generator draws.

    The lecture's has BatchNorm1d on the logits, no gain and no bias. The published one has the gain
    5/3, and its last layer begins a tenth as large.
    """

    def __init__(self, code: Code, g: torch.Generator, seed: int, options: dict[str, Any]) -> None:
        super().__init__()
        self.code, lecture = code, seed == LECTURE
        self.C = nn.Parameter(torch.randn((27, 10), generator=g))
        first = Adapted(code, "Linear", 30, 100).find("weight", (30, 100), (100, 30))
        as_torch = len(first) == 100
        self.layers = nn.ModuleList()
        for i, (fan_in, fan_out) in enumerate(zip(SIZES, SIZES[1:], strict=False)):
            linear = Adapted(code, "Linear", fan_in, fan_out, bias=i == 5 and not lecture)
            weight = linear.find("weight", (fan_in, fan_out), (fan_out, fan_in))
            values = torch.randn((fan_in, fan_out), generator=g) / fan_in**0.5
            values *= 1.0 if lecture else 0.1 if i == 5 else 5 / 3
            weight.data.copy_(values.T if as_torch else values)
            self.layers.append(linear)
            if i < 5 or lecture:
                norm = Adapted(code, "BatchNorm1d", fan_out, **options)
                norm.find("gamma weight", (fan_out,), (1, fan_out)).data *= 0.1 if i == 5 else 1.0
                self.layers.append(norm)

    def forward(self, x: Tensor) -> Any:
        value = self.code.call(self.code.get("embedding"), self.C, x).flatten(1)
        for layer in self.layers:
            value = layer(value)
            if layer.name == "BatchNorm1d" and value.size(1) == 100:
                value = self.code.call(self.code.get("tanh"), value)
        return value


class ReadersMLP(LitMLP):
    """A LitMLP with the reader's network and loss; keeps the loss of its first update."""

    def loss(self, batch: tuple[Tensor, Tensor]) -> Any:
        code: Any = self.net.code
        loss = code.call(code.get("cross_entropy"), self(batch[0]), batch[1])
        self.first = getattr(self, "first", loss.item())
        return loss


def trained(code: Code, seed: int, updates: int, options: dict[str, Any]) -> tuple[Any, Any]:
    """The module after so many updates, and its data."""
    g = torch.Generator().manual_seed(seed)
    if seed == PUBLISHED:  # what its notebook has drawn before
        for _ in range(131):
            torch.multinomial(torch.full((1, 27), 1 / 27), 1, generator=g)
        torch.randn((27, 10), generator=g)
    with quiet_lightning():
        logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
        data = NamesDataModule()
        module = ReadersMLP(data.chars, 3, engine="autograd")
        module.model.net = Network(code, g, seed, options)  # type: ignore[assignment]
        data.generator = g
        kept: Any = {**NOTHING_KEPT, "enable_model_summary": False, "limit_val_batches": 0}
        trainer = pl.Trainer(max_steps=updates, max_epochs=-1, accelerator="cpu", devices=1, **kept)
        trainer.fit(module, data)
    return module, data


def judge_training(code: Code) -> Iterator[str]:
    """Linear, BatchNorm1d, tanh, embedding and cross_entropy."""
    yield from layers.linear(code)
    yield from layers.batchnorm(code)
    chooses = "unbiased" in inspect.signature(code.get("BatchNorm1d")).parameters
    options = {"unbiased": False} if chooses else {}
    kind = layers.convention(code, options)
    module, _ = trained(code, PUBLISHED, 1, options)
    if not abs(module.first - START[kind]) < 1e-5:
        raise Wrong("begins", value=module.first, right=START[kind])
    whose = "published" if kind == "biased" else f"this project's {kind} layers"
    yield f"replay: the first loss is {module.first} ({whose}: {START[kind]})"

    options = {"unbiased": True} if chooses else {}
    kind = layers.convention(code, options)
    module, data = trained(code, LECTURE, 1001, options)  # 0 to 1,000
    loaders = (data.evaluation_loader(split) for split in ("train", "val"))
    train, dev = (evaluate(module.net, loader)["loss"] for loader in loaders)
    if not max(abs(train - ENDS[kind][0]), abs(dev - ENDS[kind][1])) < 5e-4:
        raise Wrong("ends", train=f"{train:.4f}", dev=f"{dev:.4f}", right=ENDS[kind])
    whose = "the lecture" if kind == "unbiased" else f"this project's {kind} layers"
    yield f"the deep network: train {train:.4f}, dev {dev:.4f} ({whose}: {ENDS[kind]})"
    yield f"20 names of it: {', '.join(module.generate(20, seed=LECTURE))}"

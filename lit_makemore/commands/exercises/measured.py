"""Judges of numbers, by the networks that they make."""

from collections.abc import Iterator
from math import log
from typing import Any

import torch
from torch import Tensor

from lit_makemore import files
from lit_makemore.commands.exercises.foreign import Code, Wrong
from lit_makemore.commands.exercises.judging import agree
from lit_makemore.commands.gradcheck import SMALL_PATH, draw
from lit_makemore.network.gradcheck import layer_values
from lit_makemore.network.mlp import MLP, Init, cross_entropy
from lit_makemore.words.corpus import read_corpus


def number(name: str, value: Any) -> float:
    if type(value) not in (int, float):
        raise Wrong("no_number", name=name, value=repr(value))
    return float(value)


def minibatch() -> tuple[Tensor, Tensor]:
    """500 examples of the names that ship."""
    return draw(read_corpus(files.find(SMALL_PATH)), 3, 500, torch.Generator().manual_seed(1))


def initial_loss(code: Code) -> Iterator[str]:
    """guess, the loss of guessing, and scale, the last layer's."""
    guess = torch.tensor(number("guess", code.get("guess")))
    agree("guess", "guess", guess, torch.tensor(log(27)), limit=2e-3)
    yield f"guess: ln 27 = {log(27):.4f}"
    scale = number("scale", code.get("scale"))
    loss, gradient = first_update(scale)
    times = gradient / first_update(0.01)[1]
    if not loss < log(27) + 0.1:
        raise Wrong("too_large", scale=scale, loss=f"{loss:.2f}")
    if not times > 1e-3:
        raise Wrong("too_small", scale=scale, times=f"{times:.2g}")
    yield f"scale: the network begins at {loss:.2f}, and gradients reach its hidden layer"


def first_update(scale: float) -> tuple[float, float]:
    """The lecture's small network: its first loss, and the spread of its hidden gradients."""
    init = Init(gain=5 / 3, logits_gain=scale * 200**0.5)
    net = MLP(27, 3, 10, 200, 1, norm="none", init=init, generator=torch.manual_seed(1))
    x, y = minibatch()
    loss = cross_entropy(net(x), y)
    loss.backward()
    return loss.item(), net.layers[0].weight.grad.std().item()  # type: ignore[union-attr, operator]


def gain(code: Code) -> Iterator[str]:
    """gains, of tanh, relu and linear."""
    gains = code.get("gains")
    for activation in ("tanh", "relu", "linear"):
        if not (isinstance(gains, dict) and activation in gains):
            raise Wrong("no_gain", activation=activation)
        value = number(f"the gain of {activation}", gains[activation])
        net = MLP(27, 3, 10, 500, 10, activation, False, init=Init(gain=value),  # type: ignore[arg-type]
                  generator=torch.manual_seed(1))  # fmt: skip
        with torch.no_grad():
            outputs = layer_values(net, minibatch()[0])[2:-1:2]
        first, last = (outputs[i].square().mean().sqrt().item() for i in (0, -1))
        flat = 100 * (outputs[-1].abs() > 0.97).float().mean().item()
        told = {"activation": activation, "gain": f"{value:.4g}", "first": f"{first:.2g}",
                "last": f"{last:.2g}", "flat": f"{flat:.0f}"}  # fmt: skip
        saturated = activation == "tanh" and flat > 15
        small, large = not last > 0.6 * first, not last < first / 0.6  # of NaN both
        for key, holds in (("saturates", saturated), ("shrinks", small), ("grows", large)):
            if holds:
                raise Wrong(key, **told)
        yield f"{activation}: {first:.2f} after the first layer, {last:.2f} after the tenth"

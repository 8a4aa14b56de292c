"""The network. Shapes: B batch, T block_size, C n_embd, H n_hidden, V vocab_size."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lit_makemore.network.layers import BatchNorm1d, Linear, Tanh, Variance

ACTIVATIONS = {"tanh": Tanh, "relu": nn.ReLU, "linear": nn.Identity}
NORMS = {"batch": BatchNorm1d, "layer": nn.LayerNorm, "none": None}


@dataclass(frozen=True)
class Init:
    """Initial parameters: Linear weights are N(0, 1)/√fan_in times a gain, embeddings N(0, 1).

    Args:
        gain: gain of the hidden Linear layers; 5/3 compensates for the squashing of tanh.
        logits_gain: gain of the last Linear layer; small, so that the first predictions are nearly
            uniform.
        logits_bias_std: standard deviation of the last Linear layer's bias.
        bn_gain: γ of the hidden BatchNorm layers.
        bn_bias: β of the hidden BatchNorm layers.
        logits_bn_gain: γ of the BatchNorm on the logits, which cancels any logits_gain.
    """

    gain: float = 5 / 3
    logits_gain: float = 0.1
    logits_bias_std: float = 0.0
    bn_gain: float = 1.0
    bn_bias: float = 0.0
    logits_bn_gain: float = 0.1


class MLP(nn.Module):
    """Predicts the logits of the next character from a window (Bengio et al., 2003).

    `layers` is the flat list of the lecture: n_layer × [Linear → norm → activation], each followed
    by Dropout if there is any, and the Linear layer of the logits, which BatchNorm1d may follow
    too. A Linear layer before BatchNorm1d has no bias, which would have no effect, unless it is
    asked for. A generator replaces torch's global one.
    """

    def __init__(
        self,
        vocab_size: int,
        block_size: int = 3,
        n_embd: int = 10,
        n_hidden: int = 100,
        n_layer: int = 5,
        activation: str = "tanh",
        norm: str = "batch",
        logits_batch_norm: bool = False,
        bn_variance: Variance = "torch",
        redundant_bias: bool = False,
        dropout: float = 0.0,
        init: Init = Init(),
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        sizes = {"vocab_size": vocab_size, "block_size": block_size, "n_embd": n_embd}
        for name, size in {**sizes, "n_hidden": n_hidden, "n_layer": n_layer}.items():
            if size < 1:
                raise ValueError(f"{name} must be at least 1, not {size}")
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout must be a share in [0, 1), not {dropout}")

        self.embedding = nn.Embedding(vocab_size, n_embd)
        nn.init.normal_(self.embedding.weight, generator=generator)
        layers: list[nn.Module] = []
        fan_in = block_size * n_embd
        for _ in range(n_layer):
            block = _norm(norm, n_hidden, bn_variance, init)
            subtracts_bias = any(isinstance(layer, nn.BatchNorm1d) for layer in block)
            linear = Linear(fan_in, n_hidden, redundant_bias or not subtracts_bias, generator)
            linear.weight.data *= init.gain
            layers += [linear, *block, _layer("activation", activation, n_hidden)]
            if dropout:
                layers.append(nn.Dropout(dropout))
            fan_in = n_hidden
        logits = Linear(n_hidden, vocab_size, redundant_bias or not logits_batch_norm, generator)
        logits.weight.data *= init.logits_gain
        if logits.bias is not None and init.logits_bias_std:
            nn.init.normal_(logits.bias, std=init.logits_bias_std, generator=generator)
        layers.append(logits)
        if logits_batch_norm:
            layer = BatchNorm1d(vocab_size, variance=bn_variance)
            layers.append(_scaled(layer, init.logits_bn_gain, 0.0))
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        embedded = self.embedding(x)  # (B, T, C)
        return self.layers(embedded.flatten(1))  # (B, V)


def probabilities(logits: Tensor) -> Tensor:
    """Logits to probabilities, both (B, V)."""
    return _precise(logits).softmax(1)


def log_probabilities(logits: Tensor) -> Tensor:
    """Logits to log-probabilities in nats, both (B, V)."""
    return _precise(logits).log_softmax(1)


def cross_entropy(logits: Tensor, targets: Tensor, reduction: str = "mean") -> Tensor:
    """The loss in nats of logits (B, V) for next characters (B,) or their distributions (B, V)."""
    logits = _precise(logits)
    if targets.is_floating_point():
        targets = targets.to(logits.dtype)
    return F.cross_entropy(logits, targets, reduction=reduction)


def _precise(logits: Tensor) -> Tensor:
    """In float32 at least: bfloat16 has too few digits."""
    return logits.to(torch.promote_types(logits.dtype, torch.float32))


def _norm(name: str, width: int, variance: Variance, init: Init) -> list[nn.Module]:
    if name == "none":
        return []
    batch = name == "batch"  # which alone has a choice of variance
    layer = BatchNorm1d(width, variance=variance) if batch else _layer("norm", name, width)
    return [_scaled(layer, init.bn_gain, init.bn_bias)]


def _scaled(norm: nn.Module, gain: float, bias: float) -> nn.Module:
    for name, value in (("weight", gain), ("bias", bias)):
        if isinstance(parameter := getattr(norm, name, None), nn.Parameter):
            nn.init.constant_(parameter, value)
    return norm


def _layer(option: str, name: str, width: int) -> nn.Module:
    """An activation, or a norm, of outputs (B, width)."""
    known: dict[str, Any] = NORMS if option == "norm" else ACTIVATIONS
    kind = known.get(name)
    if kind is None and str(name).startswith("torch.nn."):
        kind = getattr(nn, name.removeprefix("torch.nn."), None)
    try:
        layer = kind(width) if option == "norm" else kind()  # type: ignore[misc]
        if name in known or layer.eval()(torch.zeros(2, width)).shape == (2, width):
            return layer.train()
    except Exception:  # what a class says of arguments and shapes that it does not take
        pass
    example = "RMSNorm that takes the width" if option == "norm" else "GELU that takes nothing"
    raise ValueError(
        f"{option} is {', '.join(known)}, or a class of torch.nn such as torch.nn.{example} and "
        f"keeps the shape of its input, not {name!r}"
    )


@contextmanager
def buffers_restored(net: nn.Module) -> Iterator[None]:
    """The buffers are after the block what they were before it."""
    buffers = [(buffer, buffer.clone()) for buffer in net.buffers()]
    try:
        yield
    finally:
        with torch.no_grad():
            for buffer, value in buffers:
                buffer.copy_(value)


@contextmanager
def evaluating(net: nn.Module) -> Iterator[None]:
    """The network is in evaluation mode inside the block."""
    training = net.training
    net.eval()
    try:
        yield
    finally:
        net.train(training)

"""Folds BatchNorm1d into the Linear layer before it: the lecture's exercise E02.

In evaluation mode, BatchNorm1d multiplies each feature by a number and adds another one. The Linear
layer before it can do both by itself:

    γ (W x + b - μ) / √(σ² + ε) + β = W' x + b',  s = γ / √(σ² + ε),  W' = s W,  b' = s (b - μ) + β

Shapes: B batch, T block_size, V vocab_size.
"""

from copy import deepcopy

import torch
from torch import Tensor, nn

from lit_makemore.network.gradcheck import Line, compare
from lit_makemore.network.layers import BatchNorm1d, Linear
from lit_makemore.network.mlp import MLP


def fold(net: MLP) -> MLP:
    """A copy in evaluation mode without BatchNorm1d, which gives the same logits.

    Its Linear layers have a bias, and its state_dict loads into an MLP without norms.
    """
    folded, layers = deepcopy(net), list[nn.Module]()
    for layer in folded.layers:
        if isinstance(layer, BatchNorm1d):
            _fold_into(layers[-1], layer)
        else:
            layers.append(layer)
    folded.layers = nn.Sequential(*layers)
    return folded.eval()


@torch.no_grad()
def _fold_into(linear: nn.Module, norm: BatchNorm1d) -> None:
    assert isinstance(linear, Linear)
    scale = (norm.running_var + norm.eps).rsqrt()
    scale = scale if norm.weight is None else norm.weight * scale
    bias = -norm.running_mean if linear.bias is None else linear.bias - norm.running_mean
    linear.weight.copy_(scale[:, None] * linear.weight)
    bias = scale * bias if norm.bias is None else scale * bias + norm.bias
    linear.bias = nn.Parameter(bias.to(linear.weight.dtype))


@torch.no_grad()
def check_fold(net: MLP, x: Tensor) -> list[Line]:
    """The referee: compares each Linear layer of the folded network with what it stands for.

    `net` is in evaluation mode. A line is named as the layer is in it, such as layers.0; the last
    one is that of the logits, (B, V).
    """
    ours, theirs = _blocks(fold(net), x), _blocks(net, x)
    names = [f"layers.{i}" for i, layer in enumerate(net.layers) if isinstance(layer, Linear)]
    return list(map(compare, names, ours, theirs))


def _blocks(net: MLP, x: Tensor) -> list[Tensor]:
    """The output of each Linear layer; of the BatchNorm1d that follows it, if there is one."""
    outputs, value = list[Tensor](), net.embedding(x).flatten(1)
    for layer in net.layers:
        value = layer(value)
        if isinstance(layer, Linear):
            outputs.append(value)
        elif isinstance(layer, BatchNorm1d):
            outputs[-1] = value
    return outputs

"""Folds BatchNorm1d in evaluation mode into the Linear layer before it: the lecture's exercise E02.

γ (W x + b - μ) / √(σ² + ε) + β = W' x + b',  s = γ / √(σ² + ε),  W' = s W,  b' = s (b - μ) + β
"""

from copy import deepcopy

import torch
from torch import Tensor, nn

from lit_makemore.network.backprop import layer_values
from lit_makemore.network.gradcheck import Line, compare
from lit_makemore.network.layers import BatchNorm1d, Linear
from lit_makemore.network.mlp import MLP


@torch.no_grad()
def fold(net: MLP) -> MLP:
    """A copy in evaluation mode without BatchNorm1d, with biases, that gives the same logits."""
    folded, layers = deepcopy(net), list[nn.Module]()
    for layer in folded.layers:
        if not isinstance(layer, BatchNorm1d):
            layers.append(layer)
            continue
        linear, scale = layers[-1], (layer.running_var + layer.eps).rsqrt()
        assert isinstance(linear, Linear)
        scale = scale if layer.weight is None else layer.weight * scale
        bias = -layer.running_mean if linear.bias is None else linear.bias - layer.running_mean
        linear.weight.copy_(scale[:, None] * linear.weight)
        bias = scale * bias if layer.bias is None else scale * bias + layer.bias
        linear.bias = nn.Parameter(bias.to(linear.weight.dtype))
    folded.layers = nn.Sequential(*layers)
    return folded.eval()


@torch.no_grad()
def check_fold(net: MLP, x: Tensor) -> list[Line]:
    """Compares each Linear layer of the folded network with what it stands for in `net`."""
    kept = [i for i, layer in enumerate(net.layers) if not isinstance(layer, BatchNorm1d)]
    after = [*kept[1:], len(net.layers)]  # a value is the input of the layer with its number
    ours, theirs = layer_values(fold(net), x)[1:], layer_values(net, x)
    each = [(i, a, theirs[b]) for i, a, b in zip(kept, ours, after, strict=True)]
    return [compare(f"layers.{i}", a, b) for i, a, b in each if isinstance(net.layers[i], Linear)]

"""The referee of native.cpp: compares its gradients of one minibatch with autograd's.

Gradients are compared, and not updates: AdamW turns the rounding error of a gradient that is zero
into a whole step.

Shapes: B batch, T block_size, V vocab_size.
"""

import torch
from torch import Tensor

from lit_makemore.network.gradcheck import ROUNDINGS, layer_values, sizes_of_terms
from lit_makemore.network.mlp import cross_entropy
from lit_makemore.network.restored import buffers_restored
from lit_makemore.training.native.native import NativeStep

TOLERANCE = 1e-3
"""Largest relative error of a gradient in the 2-norm, beside what rounding of its terms explains.
Correct gradients differ by about 1e-6, and by 1e-4 where rounding moves a ReLU over its kink."""


def disagreement(step: NativeStep, x: Tensor, y: Tensor) -> str | None:
    """What is wrong with the step's gradients; None if nothing is, or if they are not finite.

    The network, its buffers and the random state are afterwards as they were before.

    Args:
        step: of a network in training mode.
        x: windows (B, T).
        y: next characters (B,), or their distributions (B, V).
    """
    net = step.net
    with buffers_restored(net):
        our_loss, ours = step.gradients(x, y)
    with buffers_restored(net):
        values = layer_values(net, x, step.dropout_masks())
        loss = cross_entropy(values[-1], y)
        theirs = torch.autograd.grad(loss, [values[-1], *net.parameters()])
    if not all(gradient.isfinite().all() for gradient in theirs):
        return None  # the run is diverging, which another part of the program says
    _, sizes = sizes_of_terms(net, x, [v.detach() for v in values], theirs[0])
    if not abs(our_loss - loss.item()) <= TOLERANCE * abs(loss.item()):
        return f"the loss is {our_loss:.6g}, autograd's {loss.item():.6g}"
    unit = ROUNDINGS * torch.finfo(torch.float32).eps
    for (name, _), gradient in zip(net.named_parameters(), theirs[1:], strict=True):
        apart = (ours[name] - gradient).norm().item()
        size = gradient.norm().item()
        if not apart <= TOLERANCE * size + unit * sizes[name]:
            return f"the gradient of {name} is off by {apart / max(size, 1e-30):.1e}"
    return None

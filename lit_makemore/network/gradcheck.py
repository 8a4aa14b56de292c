"""The referee of backprop.py: every hand-derived gradient beside autograd's, a line each."""

from dataclasses import dataclass
from types import SimpleNamespace

import torch
import torch.nn.functional as F
from torch import Tensor

from lit_makemore.network import backprop
from lit_makemore.network.layers import BatchNorm1d
from lit_makemore.network.mlp import MLP

TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-5}
"""Largest relative error, |ours - autograd's| / |autograd's| in the 2-norm."""

FLOOR = {torch.float64: 1e-12, torch.float32: 1e-7}
"""Largest difference of an entry where the gradient itself vanishes, as b1's before BatchNorm."""


@dataclass(frozen=True)
class Line:
    """One gradient compared: ours with autograd's.

    Args:
        name: of what the loss is differentiated by.
        shape: its shape.
        exact: whether both are equal to the last bit.
        approximate: whether they are by torch.allclose.
        max_difference: largest absolute difference of an entry.
        relative_error: 2-norm of the difference over that of autograd's gradient.
        agrees: whether the relative error is within TOLERANCE, or the difference within FLOOR.
    """

    name: str
    shape: tuple[int, ...]
    exact: bool
    approximate: bool
    max_difference: float
    relative_error: float
    agrees: bool


def compare(name: str, ours: Tensor, theirs: Tensor) -> Line:
    """Raises ValueError if there is no tolerance for the dtype."""
    if theirs.dtype not in TOLERANCE:
        raise ValueError(f"gradients are compared in float64 or float32, not {theirs.dtype}")
    if (ours.shape, ours.dtype) != (theirs.shape, theirs.dtype):
        nan = float("nan")
        return Line(name, tuple(ours.shape), False, False, nan, nan, False)
    difference = ours - theirs
    largest = difference.abs().max().item()
    relative = (difference.norm() / theirs.norm()).item() if difference.any() else 0.0
    agrees = relative <= TOLERANCE[theirs.dtype] or largest <= FLOOR[theirs.dtype]
    exact, approximate = torch.equal(ours, theirs), torch.allclose(ours, theirs)
    return Line(name, tuple(theirs.shape), exact, approximate, largest, relative, agrees)


def lecture_parameters(
    vocab_size: int,
    generator: torch.Generator,
    dtype: torch.dtype,
    block_size: int = 3,
    n_embd: int = 10,
    n_hidden: int = 64,
) -> SimpleNamespace:
    """The lecture's exercise: no parameter starts at 0 or 1, since those hide mistakes."""

    def randn(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=dtype)

    fan_in = block_size * n_embd
    return SimpleNamespace(
        C=randn(vocab_size, n_embd),
        W1=randn(fan_in, n_hidden) * (5 / 3) / fan_in**0.5,
        b1=randn(n_hidden) * 0.1,
        W2=randn(n_hidden, vocab_size) * 0.1,
        b2=randn(vocab_size) * 0.1,
        bngain=randn(1, n_hidden) * 0.1 + 1.0,
        bnbias=randn(1, n_hidden) * 0.1,
    )


def check_lecture(p: SimpleNamespace, x: Tensor, y: Tensor) -> list[Line]:
    """The two-layer network: its 26 gradients, and the two closed forms.

    Args:
        p: parameters, see `lecture_parameters`.
        x: windows (n, T).
        y: next tokens (n,).
    """
    for tensor in vars(p).values():
        tensor.requires_grad_()
    v = backprop.forward(p, x, y)
    values = [getattr(v, name) for name in backprop.INTERMEDIATES]
    theirs = dict(zip(backprop.INTERMEDIATES, torch.autograd.grad(v.loss, values), strict=True))
    with torch.no_grad():
        ours = backprop.backward(v, x, y)
        lines = [compare(name, ours[name], theirs[name]) for name in backprop.INTERMEDIATES]
        fused = backprop.cross_entropy_backward(v.logits, y)
        lines.append(compare("logits, closed form", fused, theirs["logits"]))
        layer = BatchNorm1d(v.h.size(1), variance="unbiased").to(v.h)
        layer.weight.copy_(v.bngain[0])
        fused, _ = backprop.batch_norm_backward(theirs["hpreact"], v.hprebn, layer)
        lines.append(compare("hprebn, closed form", fused, theirs["hprebn"]))
    return lines


def check_network(net: MLP, x: Tensor, y: Tensor) -> list[Line]:
    """Any MLP in its present mode: the gradient of each layer's output and each parameter.

    Args:
        net: the network; its buffers are left as they were.
        x: windows (B, T).
        y: next tokens (B,).
    """
    buffers = {name: tensor.clone() for name, tensor in net.named_buffers()}
    _, ours, our_outputs = backprop.gradients(net, x, y)
    values = [net.embedding(x).flatten(1)]
    for layer in net.layers:
        values.append(layer(values[-1]))
    loss = F.cross_entropy(values[-1], y)
    parameters = dict(net.named_parameters())
    theirs = torch.autograd.grad(loss, [*values, *parameters.values()])
    for name, tensor in net.named_buffers():
        tensor.copy_(buffers[name])

    kinds = ["embedding", *(layer.__class__.__name__ for layer in net.layers)]
    names = [f"output of {kind} {i}" for i, kind in enumerate(kinds, -1)]
    names[0] = "output of embedding"
    mine = [*our_outputs, *(ours[name] for name in parameters)]
    return [
        compare(name, a, b) for name, a, b in zip([*names, *parameters], mine, theirs, strict=True)
    ]


def table(lines: list[Line]) -> str:
    """The comparison as lines of text; one that disagrees says so."""
    width = max(len(line.name) for line in lines) + 2
    head = f"{'gradient of':<{width}}{'shape':<14}{'exact':<7}{'approximate':<13}"
    rows = [f"{head}{'max difference':>14}{'relative error':>17}"]
    for line in lines:
        shape = "×".join(map(str, line.shape))
        flags = f"{'yes' if line.exact else 'no':<7}{'yes' if line.approximate else 'no':<13}"
        row = f"{line.name:<{width}}{shape:<14}{flags}"
        row += f"{line.max_difference:>14.1e}{line.relative_error:>17.1e}"
        rows.append(row + ("" if line.agrees else "   DISAGREES"))
    return "\n".join(rows)

"""The referee of backprop.py: compares every hand-derived gradient with autograd's.

Their relative error is tiny, unless the terms of a sum cancel, as for a bias before BatchNorm.
Then the difference must be no larger than rounding the terms can explain.
"""

from dataclasses import dataclass
from functools import partial
from types import SimpleNamespace

import torch
import torch.nn.functional as F
from torch import Tensor

from lit_makemore.network import backprop
from lit_makemore.network.backprop import layer_values
from lit_makemore.network.layers import BatchNorm1d, Linear
from lit_makemore.network.mlp import MLP, buffers_restored

# the largest relative error, |ours - autograd's| / |autograd's| in the 2-norm
TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-5}
# the largest difference of an entry for a gradient of the exercise that is zero, as b1's
ZERO = {torch.float64: 1e-12, torch.float32: 1e-7}
# rounding errors, each of the size of all terms, that a gradient of a network may have: at most 8
# were found on random networks in float64, and 15 in float32
ROUNDINGS = 32


@dataclass(frozen=True)
class Line:
    name: str  # what the loss is differentiated by
    shape: tuple[int, ...]
    exact: bool  # all bits are equal
    approximate: bool  # torch.allclose accepts them
    max_difference: float  # of an entry
    relative_error: float  # 2-norm of the difference divided by that of autograd's gradient
    agrees: bool  # the relative error is within TOLERANCE, or rounding explains the difference
    remark: str  # why it agrees or not, if the relative error does not say so


def compare(name: str, ours: Tensor, theirs: Tensor, rounding: float | None = None) -> Line:
    """Compares a gradient with autograd's, or by difference where `rounding` explains it."""
    if (ours.shape, ours.dtype) != (theirs.shape, theirs.dtype):
        nan, remark = float("nan"), f"DISAGREES: autograd's has shape {tuple(theirs.shape)}"
        return Line(name, tuple(ours.shape), False, False, nan, nan, False, remark)
    difference = ours - theirs
    largest = difference.abs().max().item()
    relative = (difference.norm() / theirs.norm()).item() if difference.any() else 0.0
    limit = ZERO[theirs.dtype] if rounding is None else rounding
    remark = ""
    if not relative <= TOLERANCE[theirs.dtype]:
        remark = f"terms cancel: rounding explains a difference of {limit:.1e}"
        if theirs.abs().max() <= limit:
            remark = "zero up to rounding: compared by difference"
        if not largest <= limit:
            remark = "DISAGREES"
    equal = torch.equal(ours, theirs), torch.allclose(ours, theirs)
    agrees = remark != "DISAGREES"
    return Line(name, tuple(theirs.shape), *equal, largest, relative, agrees, remark)


def lecture_parameters(
    vocab_size: int,
    generator: torch.Generator,
    dtype: torch.dtype,
    block_size: int = 3,
    n_embd: int = 10,
    n_hidden: int = 64,
) -> SimpleNamespace:
    """Random parameters for the lecture's exercise; none is 0 or 1, which would hide mistakes."""
    randn = partial(torch.randn, generator=generator, dtype=dtype)
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
    """Compares the lecture's 26 gradients, and the two closed forms."""
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
    """Compares the gradients of an MLP's layers and parameters, by name; changes no buffer."""
    with buffers_restored(net):
        _, ours, our_outputs = backprop.gradients(net, x, y)
        values = layer_values(net, x)
        loss = F.cross_entropy(values[-1], y)
        parameters = dict(net.named_parameters())
        theirs = torch.autograd.grad(loss, [*values, *parameters.values()])
        output_sizes, sizes = sizes_of_terms(net, x, values, theirs[len(net.layers)])

    names = ["embedding", *(f"layers.{i}" for i in range(len(net.layers)))]
    mine = [*our_outputs, *(ours[name] for name in parameters)]
    unit = ROUNDINGS * torch.finfo(loss.dtype).eps
    roundings = [unit * size for size in (*output_sizes, *(sizes[name] for name in parameters))]
    return list(map(compare, [*names, *parameters], mine, theirs, roundings))


@torch.no_grad()
def sizes_of_terms(
    net: MLP, x: Tensor, values: list[Tensor], d_logits: Tensor
) -> tuple[list[float], dict[str, float]]:
    """Upper bounds of the gradients' 2-norms, by value and by parameter, if no terms cancelled.

    The norm of a product is at most the product of the norms, so every layer multiplies the bound
    of its output's gradient by the norm of its derivative: ‖W‖ for Linear, max |γ| / √(σ² + ε) for
    BatchNorm1d, and 1 for an activation. Besides, x - μ in BatchNorm1d has the rounding errors of
    x. They count 1 + |μ| / √(σ² + ε) times; the largest of these factors counts once.
    """
    size, lost = d_logits.norm().item(), 1.0
    outputs, parameters = [size], {}
    for i in reversed(range(len(net.layers))):
        layer, factor, inputs = net.layers[i], 1.0, values[i]
        if isinstance(layer, Linear):
            factor = torch.linalg.matrix_norm(layer.weight, 2).item()
        elif isinstance(layer, BatchNorm1d):
            mean, var = layer.running_mean, layer.running_var
            if layer.training:
                mean = inputs.mean(0)
                var = inputs.var(0, correction=int(layer.variance == "unbiased"))
            scale = (var + layer.eps).rsqrt()
            factor = (layer.weight * scale).abs().max().item()
            inputs = (inputs - mean) * scale
            lost = max(lost, 1 + (mean * scale).abs().max().item())
        for name, _ in layer.named_parameters():  # the weight multiplies the inputs, the bias ones
            largest = max(inputs.norm().item(), len(x) ** 0.5)
            parameters[f"layers.{i}.{name}"] = size * lost * largest
        size *= factor
        outputs.insert(0, size * lost)
    parameters["embedding.weight"] = size * lost * x.numel() ** 0.5
    return outputs, parameters


def table(lines: list[Line], of: str = "gradient of") -> str:
    """The comparison as lines of text; `of` says what is compared."""
    width = max(len(of), *(len(line.name) for line in lines)) + 2
    row = f"{{:<{width}}}{{:<14}}{{:<7}}{{:<13}}{{:>14}}{{:>17}}   {{}}"
    head = "shape", "exact", "approximate", "max difference", "relative error", ""
    rows = [row.format(of, *head)]
    for line in lines:
        equal = ("yes" if flag else "no" for flag in (line.exact, line.approximate))
        relative = "–" if line.remark.startswith("zero") else f"{line.relative_error:.1e}"
        shape, most = "×".join(map(str, line.shape)), f"{line.max_difference:.1e}"
        rows.append(row.format(line.name, shape, *equal, most, relative, line.remark))
    return "\n".join(map(str.rstrip, rows))

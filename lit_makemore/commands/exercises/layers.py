"""Judges of Linear and BatchNorm1d, a plain class or an nn.Module.

Shapes: B batch, F features.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from lit_makemore.commands.exercises.adapter import Adapted
from lit_makemore.commands.exercises.foreign import Code, Wrong
from lit_makemore.commands.exercises.judging import agree, tensor

EPS, MOMENTUM = 1e-5, 0.1
KINDS = ("biased", "unbiased")


def linear(code: Code) -> Iterator[str]:
    """Linear(fan_in, fan_out, bias=True)."""
    layer = Adapted(code, "Linear", 30, 100)
    weight = layer.find("weight", (30, 100), (100, 30))
    bias = layer.find("bias", (100,), (1, 100))
    agree("bias_start", "the bias", bias, torch.zeros_like(bias))
    layer.learns(weight=weight, bias=bias)
    bias.data.normal_()
    x = torch.randn(7, 30, requires_grad=True)
    given, product = x.detach().clone(), x @ (weight if len(weight) == 30 else weight.T)
    y, right = layer(x), product + bias
    agree("values", "the output", y, right, {"product": product, "bias": bias})
    if not torch.equal(x, given):
        raise Wrong("input_changed")
    check_gradient(y, right, x=x, weight=weight, bias=bias)
    yield "values: y = x W + b, of shape (7, 100); gradients reach x, W and b"

    start = Adapted(code, "Linear", 400, 300).find("weight", (400, 300), (300, 400)).detach()
    again = Adapted(code, "Linear", 400, 300).find("weight", (400, 300), (300, 400)).detach()
    if start.mean().abs() > 0.1 * start.std():
        raise Wrong("scale_mean", mean=f"{start.mean():.3g}")
    agree("scale", "the start", start.std(), torch.tensor(400**-0.5), limit=0.04)
    if torch.equal(start, again):
        raise Wrong("same_start")
    yield f"start: the weights have standard deviation {start.std():.3f}, 1/√400 = 0.05"

    bare = Adapted(code, "Linear", 30, 100, bias=False)
    if getattr(bare.layer, "bias", None) is not None:
        raise Wrong("bias_kept")
    bare.learns(weight=bare.find("weight", (30, 100), (100, 30)))
    tensor("the output without bias", bare(x), 7, 100)
    yield "bias=False leaves the bias out; parameters() returns what is learnt"


def batchnorm(code: Code) -> Iterator[str]:
    """BatchNorm1d(dim, eps=1e-5, momentum=0.1)."""
    layer = Adapted(code, "BatchNorm1d", 5).train()
    gain = layer.find("gamma weight", (5,), (1, 5))
    shift = layer.find("beta bias", (5,), (1, 5))
    mean, var = statistics(layer)
    for name, value, begin in (("γ", gain, 1), ("β", shift, 0), ("mean", mean, 0), ("var", var, 1)):
        if not (value == begin).all():
            raise Wrong("start", what=name, begin=begin)
    layer.learns(gamma=gain, beta=shift)
    gain.data.uniform_(0.5, 1.5)
    shift.data.normal_()

    x = spread(32)
    names = {"x": x, "var": variances(x)[:, None], "gain": gain, "shift": shift, "eps": EPS}
    right = normalised(x) * gain + shift
    kind = agree("values", "the output", layer(x), right, names, several=True)
    yield f"training: (x - μ)/√(σ² + ε) · γ + β, with the {KINDS[kind]} variance"
    x = spread(32).requires_grad_()
    check_gradient(layer(x), normalised(x)[kind] * gain + shift, x=x, gamma=gain, beta=shift)
    yield "gradients: through μ and σ² too, and to γ and β"

    found = KINDS[running(code, kind)]
    yield f"running statistics: of shape (5,), after three minibatches, of the {found} variance"

    layer.train(False)
    mean, var = (value.clone() for value in statistics(layer))
    x = spread(32)
    right = (x - mean) / (var + EPS).sqrt() * gain + shift
    batch = normalised(x) * gain + shift
    agree("eval_values", "the output in evaluation mode", layer(x), right, {"batch": batch})
    for name, value, before in zip(("mean", "var"), statistics(layer), (mean, var), strict=True):
        agree("eval_running", f"running_{name}", value, before)
    yield "evaluation: by the running statistics, which stay as they are"
    agree("eval_values", "the output of one row", layer(x[:1]), right[:1], {"batch": shift})
    try:
        layer.train()(x[:1])
    except Wrong as wrong:  # it may refuse a single row, in its own words
        if wrong.key != "exception":
            raise
    if not all(value.isfinite().all() for value in statistics(layer)):
        raise Wrong("one_row")
    yield "a batch of one: evaluated, and in training it leaves no NaN behind"


def running(code: Code, kind: int, options: Mapping[str, Any] = {}) -> int:
    """The variance that the running average takes in, after three minibatches of a new layer."""
    layer = Adapted(code, "BatchNorm1d", 5, **options).train()
    batches = [spread(8) for _ in range(3)]
    for x in batches:
        layer(x.clone().requires_grad_())
    for name in ("running_mean", "running_var"):
        value = getattr(layer.layer, name)
        if value.requires_grad:
            raise Wrong("running_graph", name=name)
        if value.shape == (1, 5):
            raise Wrong("running_keepdim", name=name, shape=tuple(value.shape))
        tensor(name, value, 5)
    mean, var = statistics(layer)
    means = torch.stack([x.mean(0) for x in batches])
    new = torch.stack([variances(x) for x in batches], 1)  # (2, 3, F)
    names = {"average": average, "old": 0.0, "new": means}
    agree("running", "running_mean", mean, average(0.0, means), names)
    names |= {"old": 1.0, "new": new}
    found = agree("running", "running_var", var, average(1.0, new), names, several=True)
    if KINDS[found] == "biased" and KINDS[kind] == "unbiased":
        raise Wrong("running_variance")
    return found


def convention(code: Code, options: dict[str, Any]) -> str:
    """The variance that normalises and the one that is averaged, as layers.Variance."""
    layer, x = Adapted(code, "BatchNorm1d", 5, **options).train(), spread(32)
    kind = agree("values", "the output", layer(x), normalised(x), several=True)
    return {(0, 0): "biased", (1, 1): "unbiased"}.get((kind, running(code, kind, options)), "torch")


def average(old: float, new: Tensor, weight: float = MOMENTUM) -> Tensor:
    """The running average of new values (…, 3, F), each of which has this weight."""
    weights = weight * (1 - weight) ** torch.tensor([2.0, 1.0, 0.0])
    return (1 - weight) ** 3 * old + (weights[:, None] * new).sum(-2)


def spread(n: int) -> Tensor:
    """A minibatch (n, F) whose features differ in mean and size; the last one is small beside ε."""
    sizes = torch.tensor([1.0, 3.0, 0.5, 2.0, 0.003])
    return (torch.randn(n, 5) + torch.tensor([1.0, -2.0, 3.0, 0.5, 1.0])) * sizes


def variances(x: Tensor) -> Tensor:
    """That of each feature, divided by B and by B - 1, (2, F)."""
    return torch.stack([x.var(0, unbiased=kind == "unbiased") for kind in KINDS])


def normalised(x: Tensor) -> Tensor:
    """By both variances, (2, B, F)."""
    return (x - x.mean(0)) / (variances(x)[:, None] + EPS).sqrt()


def statistics(layer: Adapted) -> tuple[Tensor, Tensor]:
    names, shapes = ("running_mean", "running_var"), ((5,), (1, 5))
    mean, var = (layer.find(name, *shapes).detach() for name in names)
    return mean, var


def check_gradient(y: Tensor, right: Tensor, **by: Tensor) -> None:
    """The gradients of an output are those of autograd through the right formula."""
    dy = torch.randn(y.shape)
    for name, value in by.items():
        (theirs,) = torch.autograd.grad(right, value, dy, retain_graph=True)
        if not y.requires_grad:
            raise Wrong("gradient_none", name=name)
        (ours,) = torch.autograd.grad(y, value, dy, retain_graph=True, allow_unused=True)
        if ours is None:
            raise Wrong("gradient_none", name=name)
        agree("gradient", name, ours, theirs)

"""Judges of Linear and BatchNorm1d, a plain class or an nn.Module. Shapes: B batch, F features."""

from collections.abc import Generator
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor

from lit_makemore.commands.exercises.judging import Code, Wrong, agree, tensor

EPS = 1e-5


def find(layer: Any, names: str, *shapes: tuple[int, ...]) -> Tensor:
    """The tensor that a layer keeps by one of some names, in one of some shapes."""
    for name in names.split():
        if hasattr(layer, name):
            return tensor(f"self.{name}", getattr(layer, name), *shapes)
    raise Wrong("no_attribute", attribute=names.replace(" ", " or self."))


def learns(layer: Any, **expected: Tensor) -> None:
    """Has these tensors take gradients; Wrong if `parameters` of the layer returns others."""
    found = list(layer.parameters())
    for name, value in expected.items():
        if not any(one is value for one in found):
            raise Wrong("parameters_missing", name=name)
        value.requires_grad_()
    if len(found) > len(expected):
        raise Wrong("parameters_many", n=len(found), right=", ".join(expected))


def linear(code: Code) -> Generator[str, None, bool]:
    """Linear(fan_in, fan_out, bias=True); returns whether its weight is (fan_out, fan_in)."""
    layer = code["Linear"](30, 100)
    weight = find(layer, "weight", (30, 100), (100, 30))
    bias = find(layer, "bias", (100,), (1, 100))
    agree("bias_start", "the bias", bias, torch.zeros_like(bias))
    learns(layer, weight=weight, bias=bias)
    bias.data.normal_()
    x = torch.randn(7, 30, requires_grad=True)
    product = x @ (weight if len(weight) == 30 else weight.T)
    y, right = layer(x), product + bias
    agree("values", "the output", y, right, names=[{"product": product, "bias": bias}])
    check_gradient(y, right, x=x, weight=weight, bias=bias)
    yield "values: y = x W + b, of shape (7, 100); gradients reach x, W and b"

    start = find(code["Linear"](400, 300), "weight", (400, 300), (300, 400)).std()
    agree("scale", "the start", start, torch.tensor(400**-0.5), limit=0.04)
    yield f"start: the weights have standard deviation {start:.3f}, 1/√400 = 0.05"

    bare = code["Linear"](30, 100, bias=False)
    if getattr(bare, "bias", None) is not None:
        raise Wrong("bias_kept")
    learns(bare, weight=find(bare, "weight", (30, 100), (100, 30)))
    tensor("the output without bias", bare(x), (7, 100))
    yield "bias=False leaves the bias out; parameters() returns what is learnt"
    return len(weight) == 100


def batchnorm(code: Code, **options: Any) -> Generator[str, None, str]:
    """BatchNorm1d(dim, eps=1e-5, momentum=0.1); returns its kind, as layers.Variance."""
    layer = code["BatchNorm1d"](5, **options)
    layer.training = True
    gain = find(layer, "gamma weight", (5,), (1, 5))
    shift = find(layer, "beta bias", (5,), (1, 5))
    agree("start", "γ", gain, torch.ones_like(gain))
    agree("start", "β", shift, torch.zeros_like(shift))
    learns(layer, gamma=gain, beta=shift)
    gain.data.uniform_(0.5, 1.5)
    shift.data.normal_()

    x, kinds = spread(32).requires_grad_(), ("biased", "unbiased")
    y, shared = layer(x), {"x": x, "gain": gain, "shift": shift, "eps": EPS}
    names = [{**shared, "k": k, "var": x.var(0, correction=k)} for k in (0, 1)]
    rights = [normalised(x, x.mean(0), x.var(0, correction=k)) * gain + shift for k in (0, 1)]
    used = agree("values", "the output", y, *rights, names=names)
    yield f"training: (x - μ)/√(σ² + ε) · γ + β, with the {kinds[used]} variance"
    check_gradient(y, rights[used], x=x, gamma=gain, beta=shift)
    yield "gradients: through μ and σ² too, and to γ and β"

    fresh = code["BatchNorm1d"](5, **options)
    batches = [spread(8).requires_grad_() for _ in range(3)]
    for x in batches:
        fresh(x)
    for begin, name in enumerate(("running_mean", "running_var")):
        value = find(fresh, name, (5,), (1, 5))
        if value.requires_grad:
            raise Wrong("running_graph", name=name)
        if value.ndim == 2:
            raise Wrong("running_keepdim", name=name, shape=(1, 5))
        new = [[x.var(0, correction=k) if begin else x.mean(0) for x in batches] for k in (0, 1)]
        names = [{"old": begin, "new": torch.stack(one)} for one in new]
        rights = [0.729 * begin + 0.081 * x + 0.09 * y + 0.1 * z for x, y, z in new]
        kept = agree("running", name, value, *rights, names=names)
    if kept < used:
        raise Wrong("running_variance")
    yield f"running statistics: of shape (5,), after 3 minibatches, of the {kinds[kept]} variance"

    layer.training, before = False, [value.clone() for value in statistics(layer)]
    x = spread(32)
    right = normalised(x, *before) * gain + shift
    batch = normalised(x, x.mean(0), x.var(0, correction=used)) * gain + shift
    names = [{"batch": batch}]
    agree("eval_values", "the output in evaluation mode", layer(x), right, names=names)
    for name, value, old in zip(("mean", "var"), statistics(layer), before, strict=True):
        agree("eval_running", f"running_{name}", value, old)
    yield "evaluation: by the running statistics, which stay as they are"
    agree("eval_values", "the output of one row", layer(x[:1]), right[:1])
    layer.training = True
    with suppress(Exception):  # it may refuse a single row, in its own words
        layer(x[:1])
    if not all(value.isfinite().all() for value in statistics(layer)):
        raise Wrong("one_row")
    yield "a batch of one: evaluated, and in training it leaves no NaN behind"
    return kinds[kept] if kept == used else "torch"


def spread(n: int) -> Tensor:
    """A minibatch (n, F) whose features differ in mean and size; the last one is small beside ε."""
    sizes = torch.tensor([1.0, 3.0, 0.5, 2.0, 0.003])
    return (torch.randn(n, 5) + torch.tensor([1.0, -2.0, 3.0, 0.5, 1.0])) * sizes


def normalised(x: Tensor, mean: Tensor, var: Tensor) -> Tensor:
    return (x - mean) / (var + EPS).sqrt()


def statistics(layer: Any) -> list[Tensor]:
    return [find(layer, name, (5,), (1, 5)).detach() for name in ("running_mean", "running_var")]


def check_gradient(y: Tensor, right: Tensor, **by: Tensor) -> None:
    """The gradients of an output are those of autograd through the right formula."""
    dy, values = torch.randn(y.shape), [*by.values()]
    theirs = torch.autograd.grad(right, values, dy)
    ours = torch.autograd.grad(y.requires_grad_(), values, dy, allow_unused=True)
    for name, mine, one in zip(by, ours, theirs, strict=True):
        if mine is None:
            raise Wrong("gradient_none", name=name)
        agree("gradient", name, mine, one)

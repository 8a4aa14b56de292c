"""The judge of the 26 gradients of the lecture's network, one after the other, and closed forms.

Shapes: n examples, V vocab_size.
"""

from collections.abc import Iterator
from types import SimpleNamespace

import torch
from torch import Tensor

from lit_makemore.commands.exercises.foreign import Code, Wrong
from lit_makemore.commands.exercises.judging import agree, tensor
from lit_makemore.network import backprop as project
from lit_makemore.network.gradcheck import Line, compare, lecture_parameters, table

N = 32


def backprop(code: Code) -> Iterator[str]:
    """backward(v, d, x, y), closed_logits(logits, y) and closed_hprebn(dhpreact, v)."""
    g = torch.Generator().manual_seed(2147483647)
    p = lecture_parameters(27, g, torch.float64)
    x, y = torch.randint(27, (N, 3), generator=g), torch.randint(27, (N,), generator=g)
    for parameter in vars(p).values():
        parameter.requires_grad_()
    v, names = project.forward(p, x, y), project.INTERMEDIATES
    grads = torch.autograd.grad(v.loss, [getattr(v, name) for name in names])
    theirs, d = dict(zip(names, grads, strict=True)), SimpleNamespace()
    v = SimpleNamespace(**{name: value.detach() for name, value in vars(v).items()})
    stopped = Wrong("next")
    try:
        code.call(code.get("backward"), v, d, x, y)
    except Wrong as wrong:
        stopped = wrong if wrong.key != "not_written" else stopped
    lines: list[Line] = []
    for name in names:
        right, found = theirs[name], vars(d).get(name)
        if found is None:
            if lines:
                yield table(lines)
            shape, done = str(tuple(right.shape)), str(len(lines))
            stopped.told |= {"name": name, "shape": shape, "done": done}
            raise stopped
        found = tensor_of(name, found, right.shape)
        lines.append(compare(name, found, right))
        if not lines[-1].agrees:
            yield table(lines)
            told = {"d": d, "v": v, "x": x, "name": name, "right": right, "ours": found, "n": N}
            told["factor"] = (found * right).sum() / (right * right).sum()
            agree("gradient", f"d.{name}", found, right, told, limit=0.0)
    yield table(lines)
    found = code.call(code.get("closed_logits"), v.logits.clone(), y)
    agree("closed_logits", "closed_logits(logits, y)", found, theirs["logits"])
    dy, right = theirs["hpreact"], theirs["hprebn"]
    found = code.call(code.get("closed_hprebn"), dy.clone(), v)
    told = {"v": v, "dy": dy, "right": right, "n": N}
    agree("closed_hprebn", "closed_hprebn(dhpreact, v)", found, right, told)
    yield "both closed forms: autograd's gradients"


def tensor_of(name: str, ours: object, shape: tuple[int, ...]) -> Tensor:
    """The gradient, if it has the right shape; else Wrong, with the kind of mistake it shows."""
    if not isinstance(ours, Tensor) or ours.shape == shape:
        return tensor(f"d.{name}", ours, *shape)
    found, kind = tuple(ours.shape), "shape"
    if found == tuple(shape[::-1]):
        kind = "transposed"
    elif [size for size in found if size > 1] == [size for size in shape if size > 1]:
        kind = "squeezed"
    elif len(found) >= len(shape) and all(
        b in (a, 1) for a, b in zip(found[::-1], shape[::-1], strict=False)
    ):
        kind = "unsummed"
    elif 1 in shape or len(found) < 2:
        kind = "axis"
    raise Wrong(kind, what=f"d.{name}", shape=found, right=tuple(shape))

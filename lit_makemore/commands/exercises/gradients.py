"""The judge of the 26 gradients of the lecture's network, one after the other, and closed forms."""

from collections.abc import Iterator
from types import SimpleNamespace

import torch

from lit_makemore.commands.exercises.judging import Code, Wrong, agree, tensor
from lit_makemore.network import backprop as project
from lit_makemore.network.gradcheck import Line, compare, lecture_parameters, table

N, NAMES = 32, project.INTERMEDIATES


def backprop(code: Code) -> Iterator[str]:
    """backward(v, d, x, y), closed_logits(logits, y) and closed_hprebn(dhpreact, v)."""
    g = torch.Generator().manual_seed(2147483647)
    p = lecture_parameters(27, g, torch.float64)
    x, y = torch.randint(27, (N, 3), generator=g), torch.randint(27, (N,), generator=g)
    for parameter in vars(p).values():
        parameter.requires_grad_()
    v = project.forward(p, x, y)
    grads = torch.autograd.grad(v.loss, [getattr(v, name) for name in NAMES])
    theirs, d = dict(zip(NAMES, grads, strict=True)), SimpleNamespace()
    v = SimpleNamespace(**{name: value.detach() for name, value in vars(v).items()})
    backward, failure = code["backward"], None
    try:
        backward(v, d, x, y)
    except Exception as error:  # what it has set before is judged first
        failure = None if isinstance(error, NotImplementedError) else error
    lines: list[Line] = []
    for name, right in theirs.items():
        what, shape, ours = f"d.{name}", tuple(right.shape), vars(d).get(name)
        if ours is None:
            yield from [table(lines)] if lines else []
            raise failure or Wrong("next", name=name, shape=shape, done=len(lines))
        found = tuple(getattr(ours, "shape", shape))
        if found != shape:
            summed = "summed" if 1 in shape or len(shape) == 1 else "shape"
            kind = "transposed" if found == shape[::-1] else summed
            raise Wrong(kind, what=what, shape=found, right=shape)
        lines.append(compare(name, tensor(what, ours, right.shape), right))
        if not lines[-1].agrees:
            yield table(lines)
            factor = (ours * right).sum() / (right * right).sum()
            names = {"d": d, "v": v, "x": x, "name": name, "right": right, "n": N, "factor": factor}
            agree("gradient", what, ours, right, names=[names], limit=1e-12)
    yield table(lines)
    ours = code["closed_logits"](v.logits.clone(), y)
    agree("closed_logits", "closed_logits(logits, y)", ours, theirs["logits"])
    dy, right = theirs["hpreact"], theirs["hprebn"]
    ours = code["closed_hprebn"](dy.clone(), v)
    names = {"v": v, "dy": dy, "right": right, "n": N}
    agree("closed_hprebn", "closed_hprebn(dhpreact, v)", ours, right, names=[names])
    yield "both closed forms: autograd's gradients"

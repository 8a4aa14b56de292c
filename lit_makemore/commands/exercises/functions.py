"""Judges of functions and their backward passes, in float64, beside autograd.

Shapes: n examples, B batch, T block_size, V vocab_size.
"""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from lit_makemore.commands.exercises.foreign import Code, Wrong
from lit_makemore.commands.exercises.judging import agree, tensor


def float64(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def randn(*shape: int) -> Tensor:
    return torch.randn(shape, dtype=torch.float64)


def tanh(code: Code) -> Iterator[str]:
    """tanh(x) and tanh_backward(dy, y)."""
    forward, backward = code.get("tanh"), code.get("tanh_backward")
    x, dy = randn(4, 5), randn(4, 5)
    y = x.tanh()
    agree("values", "tanh(x)", code.call(forward, x.clone()), y, {"x": x})
    yield "values: torch.tanh's"
    large = float64(-1e3, -20.0, 0.0, 20.0, 1e3)
    found = tensor("tanh of large x", code.call(forward, large.clone()), 5)
    if not found.isfinite().all():
        raise Wrong("overflow")
    agree("values", "tanh of large x", found, large.tanh(), {"x": large})
    yield "large x: ±1, no overflow"
    (dx,) = torch.autograd.grad(torch.tanh(x.requires_grad_()), x, dy)
    found = code.call(backward, dy.clone(), y.clone())
    agree("backward", "tanh_backward(dy, y)", found, dx, {"dy": dy, "y": y})
    yield "backward: autograd's gradient"


def embedding(code: Code) -> Iterator[str]:
    """embedding(C, ix) and embedding_backward(dy, ix, vocab_size)."""
    forward, backward = code.get("embedding"), code.get("embedding_backward")
    C, dy = randn(9, 4), randn(4, 3, 4)
    ix = torch.tensor([[0, 0, 3], [0, 3, 5], [3, 5, 7], [0, 0, 7]])  # some occur twice, 8 does not
    agree("values", "embedding(C, ix)", code.call(forward, C.clone(), ix), C[ix])
    yield "values: a row of C for each character, of shape (4, 3, 4)"
    (dC,) = torch.autograd.grad(C.requires_grad_()[ix], C, dy)
    counts, last = ix.flatten().bincount(minlength=9).clamp(min=1), torch.zeros_like(dC)
    last[ix] = dy
    names = {"right": dC, "last": last, "counts": counts[:, None]}
    found = code.call(backward, dy.clone(), ix, 9)
    agree("backward", "embedding_backward(dy, ix, 9)", found, dC, names)
    yield "backward: a character that occurs more than once gets the sum"


def cross_entropy(code: Code) -> Iterator[str]:
    """cross_entropy(logits, y) and cross_entropy_backward(logits, y)."""
    forward, backward = code.get("cross_entropy"), code.get("cross_entropy_backward")
    logits, y = randn(6, 5).requires_grad_(), torch.tensor([0, 4, 2, 2, 1, 3])
    loss, found = F.cross_entropy(logits, y), code.call(forward, logits.detach().clone(), y)
    if isinstance(found, Tensor) and found.shape == (6,):
        raise Wrong("rows")
    names = {"l": logits.detach(), "y": y, "rows": range(6), "onehot": F.one_hot(y, 5).double()}
    agree("values", "cross_entropy(logits, y)", found, loss, names | {"right": loss})
    yield "values: the mean of -log p of the right character"
    for key, row in (("overflow", (1000.0, 999.0, 998.0)), ("underflow", (-1000.0, 0.0, 1.0))):
        large, first = float64(*row)[None], torch.tensor([0])
        found = tensor("the loss of large logits", code.call(forward, large.clone(), first))
        if not found.isfinite():
            raise Wrong(key, value=f"{found:.3g}")
        agree("large", "the loss of large logits", found, F.cross_entropy(large, first))
    yield "large logits: no overflow"
    (d,) = torch.autograd.grad(loss, logits)
    found = code.call(backward, logits.detach().clone(), y)
    agree("backward", "cross_entropy_backward(logits, y)", found, d, names | {"right": d})
    yield "backward: autograd's gradient"

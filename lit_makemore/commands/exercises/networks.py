"""Judges of networks: their gradients, those made of numbers, and those made of whole layers."""

import inspect
from collections.abc import Iterator
from functools import partial
from math import log
from types import SimpleNamespace
from typing import Any

import lightning.pytorch as pl
import torch

from lit_makemore.commands.exercises.judging import Code, Wrong, agree, tensor
from lit_makemore.commands.exercises.layers import batchnorm, find, linear
from lit_makemore.commands.options import NOTHING_KEPT
from lit_makemore.commands.quiet import quiet_lightning
from lit_makemore.network.backprop import INTERMEDIATES, forward, layer_values
from lit_makemore.network.gradcheck import Line, compare, lecture_parameters, table
from lit_makemore.network.layers import BatchNorm1d, Linear
from lit_makemore.network.mlp import MLP, Init, cross_entropy
from lit_makemore.training.datamodule import NamesDataModule
from lit_makemore.training.metrics import evaluate
from lit_makemore.training.module import LitMLP

LECTURE, PUBLISHED = 2147483647, 2147483657  # seeds
# By the variance of BatchNorm1d. START with the biased one and ENDS with the unbiased one are
# published; the others are what this project's own layers give.
START = {"biased": 3.3017003536224365, "unbiased": 3.30162024497, "torch": 3.3017003536224365}
ENDS = {"unbiased": (2.4003, 2.3982), "biased": (2.3990, 2.3967), "torch": (2.4016, 2.3994)}


def backprop(code: Code) -> Iterator[str]:
    """backward(v, d, x, y), closed_logits(logits, y) and closed_hprebn(dhpreact, v)."""
    g = torch.Generator().manual_seed(2147483647)
    p = lecture_parameters(27, g, torch.float64)
    x, y = torch.randint(27, (32, 3), generator=g), torch.randint(27, (32,), generator=g)
    for parameter in vars(p).values():
        parameter.requires_grad_()
    v = forward(p, x, y)
    grads = torch.autograd.grad(v.loss, [getattr(v, name) for name in INTERMEDIATES])
    theirs, d = dict(zip(INTERMEDIATES, grads, strict=True)), SimpleNamespace()
    v = SimpleNamespace(**{name: value.detach() for name, value in vars(v).items()})
    backward, failure = code["backward"], None
    try:
        backward(v, d, x, y)
    except Exception as error:  # what it has set before is judged first
        failure = None if isinstance(error, NotImplementedError) else error
    lines, given = list[Line](), {"d": d, "v": v, "x": x, "n": 32}
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
            names = [{**given, "name": name, "right": right}]
            agree("gradient", what, ours, right, names=names, limit=1e-12)
    yield table(lines)
    ours = code["closed_logits"](v.logits.clone(), y)
    agree("closed_logits", "closed_logits(logits, y)", ours, theirs["logits"])
    dy, right = theirs["hpreact"], theirs["hprebn"]
    ours = code["closed_hprebn"](dy.clone(), v)
    names = [{**given, "dy": dy, "right": right}]
    agree("closed_hprebn", "closed_hprebn(dhpreact, v)", ours, right, names=names)
    yield "both closed forms: autograd's gradients"


def initial_loss(code: Code) -> Iterator[str]:
    """guess, the loss of guessing, and scale, the last layer's."""
    guess, scale = float(code["guess"]), float(code["scale"])
    agree("guess", "guess", torch.tensor(guess), torch.tensor(log(27)), limit=2e-3)
    yield f"guess: ln 27 = {log(27):.4f}"
    net = MLP(27, 3, 10, 200, 1, norm="none", init=Init(5 / 3, logits_gain=scale * 200**0.5))
    loss = cross_entropy(net(torch.randint(27, (500, 3))), torch.randint(27, (500,))).item()
    if not loss < log(27) + 0.1:
        raise Wrong("too_large", scale=scale, loss=loss)
    if not abs(scale) > 1e-5:  # the gradients of the hidden layer are proportional to it
        raise Wrong("too_small", scale=scale, times=scale / 0.01)
    yield f"scale: the network begins at {loss:.2f}, and gradients reach its hidden layer"


def gain(code: Code) -> Iterator[str]:
    """gains, of tanh, relu and linear."""
    for activation in ("tanh", "relu", "linear"):
        value = float(code["gains"][activation])
        net = MLP(27, 3, 10, 500, 10, activation, "none", init=Init(gain=value))
        with torch.no_grad():
            outputs = layer_values(net, torch.randint(27, (500, 3)))[2:-1:2]
        first, last = (outputs[i].square().mean().sqrt().item() for i in (0, -1))
        flat = (outputs[-1].abs() > 0.97).float().mean().item()
        told = {"activation": activation, "gain": value, "first": first, "last": last, "flat": flat}
        if activation == "tanh" and flat > 0.15:
            raise Wrong("saturates", **told)
        if not 0.6 < last / first < 1 / 0.6:  # of NaN, too
            raise Wrong("grows" if last > first else "shrinks", **told)
        yield f"{activation}: {first:.2f} after the first layer, {last:.2f} after the tenth"


def begun(code: Code, seed: int, as_torch: bool, **options: Any) -> tuple[Any, NamesDataModule]:
    """A LitMLP of the reader's layers and loss, and its data; one generator draws for both.

    The lecture's network has BatchNorm1d on the logits, no gain and no bias. The published one has
    the gain 5/3, and its last layer begins a tenth as large.
    """
    g, lecture = torch.Generator().manual_seed(seed), seed == LECTURE
    if not lecture:  # what its notebook has drawn before
        for _ in range(131):
            torch.multinomial(torch.full((1, 27), 1 / 27), 1, generator=g)
        torch.randn((27, 10), generator=g)
    data, init = NamesDataModule(), Init(1.0, 1.0) if lecture else Init()
    data.generator = g  # type: ignore[assignment]
    module: Any = LitMLP(data.chars, 3, init=init, logits_batch_norm=lecture, engine="autograd")
    module.loss = lambda batch: code["cross_entropy"](module(batch[0]), batch[1])
    C = module.net.embedding.weight
    C.data = torch.randn((27, 10), generator=g)
    module.net.embedding.forward = partial(code["embedding"], C)
    learnt, module.own = [C], []
    for layer in module.net.layers:
        if isinstance(layer, Linear):
            sizes = layer.in_features, layer.out_features
            own = code["Linear"](*sizes, bias=layer.bias is not None)
            times = init.logits_gain if sizes[1] == 27 else init.gain
            values = torch.randn(sizes, generator=g) / sizes[0] ** 0.5 * times
            weight = find(own, "weight", sizes, sizes[::-1]).data
            weight.copy_(values.T if as_torch else values)
        elif isinstance(layer, BatchNorm1d):
            n = layer.num_features
            own = code["BatchNorm1d"](n, **options)
            find(own, "gamma weight", (n,), (1, n)).data *= layer.weight.data
        else:
            layer.forward = code["tanh"]  # type: ignore[method-assign]
            continue
        module.own.append(own)
        learnt += [parameter.requires_grad_() for parameter in own.parameters()]
        layer.forward = own.__call__  # type: ignore[method-assign]
    module.parameters = lambda: iter(learnt)  # which the optimizer gets
    return module, data


def train(code: Code) -> Iterator[str]:
    """Linear, BatchNorm1d, tanh, embedding and cross_entropy."""
    as_torch = yield from linear(code)
    chooses = "unbiased" in inspect.signature(code["BatchNorm1d"]).parameters
    options = {"unbiased": False} if chooses else {}
    kind = yield from batchnorm(code, **options)
    module, data = begun(code, PUBLISHED, as_torch, **options)
    data.setup("fit")
    first = module.loss(next(iter(data.train_dataloader()))).item()
    if not abs(first - START[kind]) < 1e-5:
        raise Wrong("begins", value=first, right=START[kind])
    whose = "published" if kind == "biased" else f"this project's {kind} layers"
    yield f"replay: the first loss is {first} ({whose}: {START[kind]})"

    if chooses:
        options = {"unbiased": True}
        kind = yield from batchnorm(code, **options)
    module, data = begun(code, LECTURE, as_torch, **options)
    kept: Any = {**NOTHING_KEPT, "enable_model_summary": False, "limit_val_batches": 0}
    with quiet_lightning():  # the lecture counts its updates from 0 to 1,000
        trainer = pl.Trainer(max_steps=1001, max_epochs=-1, accelerator="cpu", devices=1, **kept)
        trainer.fit(module, data)
    for layer in module.own:
        layer.training = False
    losses = [evaluate(module.net, data.evaluation_loader(x))["loss"] for x in ("train", "val")]
    if not max(abs(a - b) for a, b in zip(losses, ENDS[kind], strict=True)) < 5e-4:
        raise Wrong("ends", train=losses[0], dev=losses[1], right=ENDS[kind])
    whose = "the lecture" if kind == "unbiased" else f"this project's {kind} layers"
    yield f"the deep network: train {losses[0]:.4f}, dev {losses[1]:.4f} ({whose}: {ENDS[kind]})"
    yield f"20 names of it: {', '.join(module.generate(20, seed=LECTURE))}"

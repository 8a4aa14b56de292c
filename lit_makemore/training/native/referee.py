"""The referee of the native step: it must do what a copy of the module does in a few updates.

The copy makes a few whole updates in a Trainer of its own, by the module's own training_step,
forward, loss and configure_optimizers. The native step makes each of them from the same state. The
parameters, the buffers and the optimizer's state must agree, and the copy must do nothing else.
"""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from copy import deepcopy
from io import StringIO
from itertools import chain, islice, repeat
from math import isfinite
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor, nn
from torch.optim.optimizer import _global_optimizer_post_hooks, _global_optimizer_pre_hooks
from torch.utils.data import DataLoader

from lit_makemore.network.backprop import loss_by_hand
from lit_makemore.training.lightning_internals import leave_signals_alone
from lit_makemore.training.loaders import MinibatchLoader
from lit_makemore.training.native import build
from lit_makemore.training.native.native import NativeStep

UPDATES, KINKED = 3, 6  # momentum shows only in the second; the latter of a network with ReLU
TOLERANCE = {"loss": 1e-5, "tensor": 1e-4}
"""Largest relative difference of a loss, and of a tensor in the 2-norm. Correct ones differ by
about 1e-7 and 1e-6. But rounding may move a unit over the kink of ReLU, in one update of ten where
there are a million of them, and then tensors differ by 1e-3: they must agree in one update."""
ROUNDING = 1e-5
"""The difference of an entry that rounding explains, in units of the largest tensor's size."""
EPS = torch.finfo(torch.float32).eps
OPTIMIZERS: dict[type, dict[str, Any]] = {  # with the settings that native.cpp takes for granted
    torch.optim.SGD: {"momentum": 0, "weight_decay": 0, "nesterov": False, "maximize": False},
    torch.optim.AdamW: {"amsgrad": False, "maximize": False, "decoupled_weight_decay": True},
}
State = dict[tuple[str, str], Tensor]  # by what it is, and of which tensor of the network


def disagreement(module: Any, trainer: pl.Trainer, loader: MinibatchLoader) -> str | None:
    """Why the native step does not do what a LitMLP does in a fit, in words; None if it does.

    Module, loader and random state are left as they are.
    """
    kinks = any(isinstance(layer, nn.ReLU) for layer in module.net.layers)
    updates = KINKED if kinks else UPDATES
    updates = min(updates, trainer.max_steps) if trainer.max_steps > 0 else updates
    first = MinibatchLoader(loader.examples, loader.batch_size, torch.Generator().manual_seed(0))
    batches = list(islice(chain.from_iterable(repeat(first)), updates))
    copy, native, before = deepcopy(module), deepcopy(module), _notes(module)
    with torch.random.fork_rng([]), _quiet() as printed:
        torch.manual_seed(0)
        native.trainer = trainer
        optimizer = native.configure_optimizers()
        if why := unknown_optimizer(optimizer, native):
            return why
        of: Any = native.net, optimizer, loader.batch_size, trainer.gradient_clip_val
        try:
            step = NativeStep(build.library(), *of)
        except (AttributeError, TypeError):  # as momentum None
            return "a layer has a setting that it does not know"
        shadow = _Shadow(native, step)
        try:
            theirs = _train(copy, trainer, batches, shadow)
        except Exception as error:  # it is not made to train alone
            return f"a copy of the module fails ({type(error).__name__}: {error})"
    if len(shadow.apart) < updates:
        return "it leaves out minibatches"
    if theirs.callback_metrics:
        return f"training_step logs {next(iter(theirs.callback_metrics))}"
    if printed.getvalue():
        return "it prints while it trains"
    if changed := [name for name, text in _notes(copy).items() if before.get(name) != text]:
        return f"{changed[0]} changes while it trains"
    found = [f"{why} in update {i}" for i, why in enumerate(shadow.apart, 1) if why]
    return shadow.wrong_loss or (found[0] if len(found) > (updates - 1 if kinks else 0) else None)


def differs_by_hand(module: Any) -> str | None:
    """Why the hand-derived gradients are not those of the module's loss, in words; else None."""
    copy, g = deepcopy(module), torch.Generator().manual_seed(0)
    size, vocab_size = copy.hparams["block_size"], len(copy.vocab)
    x, y = (torch.randint(0, vocab_size, s, generator=g) for s in ((64, size), (64,)))
    loss, by_hand = copy.loss((x, y)), loss_by_hand(copy.net, x, y)
    if not abs(loss.item() - by_hand.item()) <= TOLERANCE["loss"] * abs(by_hand.item()):
        return f"its loss is {by_hand.item():.7g} where the module's own is {loss.item():.7g}"
    both = (torch.autograd.grad(one, [*copy.net.parameters()]) for one in (loss, by_hand))
    own, derived = (nn.utils.parameters_to_vector(gradients) for gradients in both)
    right = (own - derived).norm() <= 1e-3 * own.norm()
    return None if right else "its gradients are not those of the module's loss"


def unknown_optimizer(optimizer: Any, module: Any) -> str | None:
    """Why native.cpp cannot make the updates of what configure_optimizers has returned."""
    settings = OPTIMIZERS.get(type(optimizer))
    if settings is None:
        return f"configure_optimizers returns {type(optimizer).__name__}"
    group, *others = optimizer.param_groups
    if others:
        return "the optimizer has groups of parameters"
    if list(map(id, group["params"])) != list(map(id, module.parameters())):
        return "the optimizer has other parameters than the network"
    hooks = [*optimizer._optimizer_step_pre_hooks.values(), *_global_optimizer_pre_hooks.values()]
    after = optimizer._optimizer_step_post_hooks or _global_optimizer_post_hooks
    if after or "step" in vars(optimizer) or any(hook != module.set_lr for hook in hooks):
        return "the optimizer has a hook"
    for name, value in settings.items():
        if group.get(name, value) != value:
            return f"{type(optimizer).__name__} with {name} {group[name]}"
    return None


class _Shadow(pl.Callback):
    """Makes each update of a copy natively as well, from the same state, and compares them."""

    def __init__(self, module: Any, step: NativeStep) -> None:
        self.module, self.step, self.ours = module, step, _state(module, step.optimizer)
        self.wrong_loss: str | None = None
        self.apart: list[str | None] = []  # of each update, what differs

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: Any, batch: Any, batch_idx: int
    ) -> None:
        for name, tensor in _state(pl_module, trainer.optimizers[0]).items():
            self.ours[name].copy_(tensor)
        self.start, (x, y) = deepcopy(self.ours), batch
        self.loss = float(self.step(x[None], y[None], [self.module.lr_at(batch_idx)]))
        for i, mask in self.step.dropout_masks().items():
            pl_module.net.layers[i].forward = mask.mul  # Dropout by the same units

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        loss, ours = float(outputs["loss"]), self.loss
        wrong = not abs(ours - loss) <= TOLERANCE["loss"] * abs(loss) and isfinite(ours)
        if wrong and not self.wrong_loss:
            self.wrong_loss = f"the loss is {loss:.7g}, theirs {ours:.7g}"
        self.apart.append(_apart(self.start, self.ours, _state(pl_module, trainer.optimizers[0])))


def _train(module: Any, trainer: pl.Trainer, batches: Any, callback: pl.Callback) -> pl.Trainer:
    """Lets Lightning train a copy; returns its Trainer."""
    module.hparams.update(engine="autograd", count_mixture=False)  # the network alone is trained
    module.configure_callbacks = list
    theirs = pl.Trainer(
        accelerator="cpu", devices=1, max_steps=trainer.max_steps, max_epochs=1,
        gradient_clip_val=trainer.gradient_clip_val, limit_val_batches=0, log_every_n_steps=0,
        gradient_clip_algorithm=trainer.gradient_clip_algorithm, logger=False, callbacks=[callback],
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    leave_signals_alone(theirs)
    theirs.fit(module, DataLoader(batches, batch_size=None))
    return theirs


def _state(module: Any, optimizer: Any) -> State:
    """Parameters, buffers and the optimizer's state: the tensors themselves."""
    found = {("buffer", name): buffer for name, buffer in module.net.named_buffers()}
    for name, p in module.net.named_parameters():
        found["change", name] = p.detach()
        kept = optimizer.state[p].items()
        found |= {(key, name): t for key, t in kept if isinstance(t, Tensor)}
    return found


@contextmanager
def _quiet() -> Iterator[StringIO]:
    """Holds back what is said of the copy and its Trainer; yields what is printed."""
    before = logging.root.manager.disable
    with warnings.catch_warnings(), redirect_stdout(StringIO()) as printed:
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
        try:
            yield printed
        finally:
            logging.disable(before)


def _notes(module: Any) -> dict[str, str]:
    """The public attributes of a module and its parts that are plain values, as text."""
    plain = (bool, int, float, str, list, tuple, dict, set)
    return {
        f"{path}.{name}" if path else name: repr(value)
        for path, part in module.named_modules()
        if not path.endswith("_metrics")
        for name, value in vars(part).items()
        if isinstance(value, plain) and not name.startswith("_") and name != "training"
    }


def _apart(start: State, ours: State, theirs: State) -> str | None:
    """The first tensor in which two updates from one state differ by more than rounding.

    AdamW turns the rounding error of a gradient that is zero into a whole step. Its parameters are
    compared only where the gradient is more than that; its averages are compared everywhere.
    """
    if ours.keys() != theirs.keys():
        return f"it has {' of '.join(min(ours.keys() ^ theirs.keys()))}"
    squares = [float(t.max()) for (kind, _), t in theirs.items() if kind == "exp_avg_sq"]
    sizes: dict[str, float] = {}  # of the largest tensor of each kind
    pairs = {}
    for (kind, name), b in theirs.items():
        a = ours[kind, name]
        if kind == "change":
            a, b = a - start[kind, name], b - start[kind, name]
            if squares:
                clear = theirs["exp_avg_sq", name] > 1e-4 * max(squares)
                a, b = a * clear, b * clear
        if not b.isfinite().all():
            return None  # the run is diverging, which others say
        pairs[kind, name] = a, b = a.double(), b.double()
        sizes[kind] = max(sizes.get(kind, 0.0), float(b.square().mean().sqrt()))
    for (kind, name), (a, b) in pairs.items():
        difference, size = float((a - b).norm()), float(b.norm())
        least = EPS * float(start[kind, name].double().norm())  # a change has the start's rounding
        limit = TOLERANCE["tensor"] * size + ROUNDING * sizes[kind] * b.numel() ** 0.5 + least
        if not difference <= limit:
            return f"{kind} of {name} differs by {difference / max(size, 1e-30):.1g}"
    return None

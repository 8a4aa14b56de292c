"""The referee of the native step: it must do what a copy of the module does.

The copy makes a few whole updates in a Trainer of its own, by the module's own training_step,
forward, loss and configure_optimizers. The native step makes the same ones on a second copy. Then
parameters, buffers and the optimizer's state must agree, and the copy must have done nothing else.

AdamW turns the rounding error of a gradient that is zero into a whole step. Its parameters are
therefore compared only where the gradient is more than that; its averages are compared everywhere.

Shapes: B batch, F features.
"""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from copy import deepcopy
from io import StringIO
from itertools import islice
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from lit_makemore.training.loaders import MinibatchLoader
from lit_makemore.training.native import build
from lit_makemore.training.native.native import NativeStep

UPDATES = 3  # momentum shows only in the second
TOLERANCE = 1e-3
"""Largest relative difference in the 2-norm. Correct ones differ by about 1e-6, and by 1e-4 where
rounding moves a ReLU over its kink."""
ROUNDING = 1e-5
"""The difference of an entry that rounding explains, in units of the largest tensor's size."""
OPTIMIZERS: dict[type, dict[str, Any]] = {  # with the settings that native.cpp takes for granted
    torch.optim.SGD: {"momentum": 0, "weight_decay": 0, "nesterov": False, "maximize": False},
    torch.optim.AdamW: {"amsgrad": False, "maximize": False, "decoupled_weight_decay": True},
}


def disagreement(module: Any, trainer: pl.Trainer, loader: MinibatchLoader) -> str | None:
    """Why the native step does not do what the module does, in words; None if it does.

    Module, loader and random state are left as they are.

    Args:
        module: a LitMLP that nothing rules out at a look.
        trainer: of the fit, set up.
        loader: where its minibatches come from.
    """
    updates = min(UPDATES, trainer.max_steps) if trainer.max_steps > 0 else UPDATES
    ours = MinibatchLoader(loader.examples, loader.batch_size, torch.Generator().manual_seed(0))
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        batches: list[tuple[Tensor, Tensor]] = []
        while len(batches) < updates:
            batches += islice(ours, updates - len(batches))
        native = deepcopy(module)
        native.trainer = trainer
        optimizer = native.configure_optimizers()
        if why := unknown_optimizer(optimizer, native):
            return why
        limit: Any = trainer.gradient_clip_val
        step = NativeStep(build.library(), native.net, optimizer, len(batches[0][0]), limit or None)
        masks = []
        for i, (x, y) in enumerate(batches):
            step(x[None], y[None], [native.lr_at(i)])
            masks.append(step.dropout_masks())
        copy, before = deepcopy(module), _notes(module)
        with _quiet() as printed:
            theirs = _train(copy, trainer, batches, masks)
        if theirs.callback_metrics:
            return f"training_step logs {next(iter(theirs.callback_metrics))}"
        if printed.getvalue():
            return "it prints while it trains"
        if changed := [name for name, text in _notes(copy).items() if before.get(name) != text]:
            return f"{changed[0]} changes while it trains"
        if type(theirs.optimizers[0]) is not type(optimizer) or theirs.lr_scheduler_configs:
            return "its optimizer differs from run to run"
        return _apart(module, copy, theirs.optimizers[0], native, optimizer)


def unknown_optimizer(optimizer: Any, module: Any) -> str | None:
    """Why native.cpp cannot make the updates of what configure_optimizers has returned."""
    settings = OPTIMIZERS.get(type(optimizer))
    if settings is None:
        return f"configure_optimizers returns {type(optimizer).__name__}"
    if len(optimizer.param_groups) != 1:
        return "the optimizer has groups of parameters"
    (group,) = optimizer.param_groups
    if list(map(id, group["params"])) != list(map(id, module.parameters())):
        return "the optimizer has other parameters than the network"
    for name, value in settings.items():
        if group.get(name, value) != value:
            return f"{type(optimizer).__name__} with {name} {group[name]}"
    return None


def _train(module: Any, trainer: pl.Trainer, batches: Any, masks: Any) -> pl.Trainer:
    """Lets Lightning train a copy on some minibatches; returns the Trainer that did it."""
    module.hparams.update(engine="autograd", count_mixture=False)
    for i in masks[0]:
        module.net.layers[i] = _Masked([each[i] for each in masks])
    theirs = pl.Trainer(
        accelerator="cpu", devices=1, max_steps=trainer.max_steps, max_epochs=1,
        gradient_clip_val=trainer.gradient_clip_val, limit_val_batches=0, log_every_n_steps=0,
        gradient_clip_algorithm=trainer.gradient_clip_algorithm, logger=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    theirs.fit(module, DataLoader(batches, batch_size=None))
    return theirs


class _Masked(nn.Module):
    """Dropout with masks (B, F) that were drawn before, one a minibatch."""

    def __init__(self, masks: list[Tensor]) -> None:
        super().__init__()
        self._masks = iter(masks)

    def forward(self, x: Tensor) -> Tensor:
        return x * next(self._masks)


@contextmanager
def _quiet() -> Iterator[StringIO]:
    """Holds back what is said of the copy and its Trainer; yields what is printed."""
    names = ["lit_makemore", "lightning.pytorch", "lightning.pytorch.utilities.rank_zero"]
    levels = {name: logging.getLogger(name).level for name in names}
    with warnings.catch_warnings(), redirect_stdout(StringIO()) as printed:
        warnings.simplefilter("ignore")
        for name in names:
            logging.getLogger(name).setLevel(logging.ERROR)
        try:
            yield printed
        finally:
            for name, level in levels.items():
                logging.getLogger(name).setLevel(level)


def _notes(module: Any) -> dict[str, str]:
    """The public attributes of a module and its parts that are plain values, as text."""
    plain = (bool, int, float, str, list, tuple, dict, set)
    return {
        f"{path}.{name}" if path else name: repr(value)
        for path, part in module.named_modules()
        if not isinstance(part, _Masked) and not path.endswith("_metrics")
        for name, value in vars(part).items()
        if isinstance(value, plain) and not name.startswith("_") and name != "training"
    }


def _apart(
    start: Any, theirs: Any, their_optimizer: Any, ours: Any, our_optimizer: Any
) -> str | None:
    """The first tensor in which two copies differ by more than rounding, in words."""
    buffers = dict(ours.net.named_buffers()), dict(theirs.net.named_buffers())
    before = dict(start.net.named_parameters())
    changes = tuple(
        {name: (p - before[name]).detach() for name, p in module.net.named_parameters()}
        for module in (ours, theirs)
    )
    moments = tuple(
        {f"{key} of {name}": value.detach()
         for name, p in module.net.named_parameters()
         for key, value in optimizer.state[p].items() if key != "step"}
        for module, optimizer in ((ours, our_optimizer), (theirs, their_optimizer))
    )  # fmt: skip
    if moments[1]:  # AdamW
        sizes = {n: p for n, p in moments[1].items() if n.startswith("exp_avg_sq")}
        largest = max(float(size.max()) for size in sizes.values())
        clear = {n.rpartition(" ")[2]: size > 1e-4 * largest for n, size in sizes.items()}
        changes = tuple({n: p * clear[n] for n, p in each.items()} for each in changes)
    for a, b in (buffers, changes, moments):
        if a.keys() != b.keys():
            return "the network has changed its parts"
        size = max((float(t.float().square().mean().sqrt()) for t in b.values()), default=0.0)
        for name in b:
            mine, other = a[name].double(), b[name].double()
            if not other.isfinite().all():
                return None  # the run is diverging, which another part of the program says
            limit = TOLERANCE * other.norm() + ROUNDING * size * other.numel() ** 0.5
            if not (mine - other).norm() <= limit:
                share = float((mine - other).norm() / other.norm().clamp(min=1e-30))
                return f"{name} differs by {share:.1g} after {UPDATES} updates of each"
    return None

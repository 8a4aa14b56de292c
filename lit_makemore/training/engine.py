"""How the updates of a run are made: by Lightning, one by one, or natively, many at a time.

The Python that a reader sees is what trains. The native step is a faster way to do exactly that,
taken if nothing rules it out at a look, and if it does what a copy of the module does.
"""

import dis
import logging
import re
from collections.abc import Iterator
from typing import Any, Literal

import lightning.pytorch as pl
import torch
from lightning.pytorch.plugins import Precision
from lightning.pytorch.strategies import SingleDeviceStrategy
from lightning.pytorch.utilities.model_helpers import is_overridden
from torch import Tensor, nn
from torch.nn.modules.module import _has_any_global_hook

from lit_makemore.model import KEY
from lit_makemore.network.mlp import MLP
from lit_makemore.training.groups import HOOKS, Groups, needs_every_update
from lit_makemore.training.lightning_internals import detects_anomaly, is_compiled
from lit_makemore.training.loaders import MinibatchLoader
from lit_makemore.training.native import build
from lit_makemore.training.native.native import KINDS, NativeStep
from lit_makemore.training.native.referee import differs_by_hand, disagreement, unknown_optimizer

log = logging.getLogger(__name__)

EngineName = Literal["auto", "autograd", "manual", "native"]
DATA_HOOKS = ("on_before_batch_transfer", "transfer_batch_to_device", "on_after_batch_transfer")
# What Lightning calls of a module: the referee's updates would not show what it does later.
MODULE_HOOKS = (
    *("backward", "optimizer_step", "optimizer_zero_grad", "configure_gradient_clipping"),
    *("lr_scheduler_step", "on_train_epoch_start", *HOOKS, *DATA_HOOKS),
)
LAYER_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
TENSOR_HOOKS = ("_backward_hooks", "_post_accumulate_grad_hooks")
LAYERS = (*KINDS, nn.Identity)
CLOCKS = re.compile(r"LOAD.*\b(batch_idx|current_epoch|global_step|trainer)\b")  # in bytecode


class Engine(pl.Callback):
    """Chooses what makes the updates of a LitMLP, says so in a line, and puts it to work.

    With auto, a run that began by autograd is resumed by autograd. A ValueError says why the engine
    that is asked for is not possible.
    """

    def __init__(self) -> None:
        self._before: str | None = None  # the engine of a run that is resumed
        self._groups: Groups | None = None
        self._native: NativeStep | None = None

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        if checkpoint["global_step"]:  # not the one that a LearningRateFinder makes for its trial
            self._before = checkpoint[KEY]["engine"]

    def setup(self, trainer: pl.Trainer, pl_module: Any, stage: str) -> None:
        if stage == "fit" and pl_module.hparams["engine"] == "native":
            for why in ruled_out(trainer, pl_module):
                one_by_one(pl_module, why)

    def on_fit_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        wanted = pl_module.hparams["engine"]
        pl_module.engine = "manual" if wanted == "manual" else "autograd"
        if wanted == "manual":
            if why := differs_by_hand(pl_module):
                raise ValueError(f"--model.engine manual trains by network/backprop.py, and {why}")
            log.info("steps by the gradients of network/backprop.py, one by one")
        elif wanted == "autograd" or (wanted == "auto" and self._before == "autograd"):
            log.info("steps by autograd, one by one%s", ", as before" if wanted == "auto" else "")
        else:
            ends = trainer.max_steps == 0 or trainer.max_epochs == 0
            why = "there is no update" if ends else next(ruled_out(trainer, pl_module), None)
            if why := why or disagreement(pl_module, trainer, loader_of(trainer)):
                one_by_one(pl_module, why)
                return
            log.info("native steps (C++)")
            pl_module.engine = "native"
            self._module, self._kept = pl_module, _kept(pl_module, trainer)
            self._groups = Groups(trainer, loader_of(trainer), self._update, self._stays)

    def _stays(self) -> bool:
        """Whether the next updates may be native: no callback has changed what that takes."""
        module, trainer = self._module, self._module.trainer
        why = next(ruled_out_now(trainer, module), None)
        why = why or unknown_optimizer(trainer.optimizers[0], module)
        if why is None and module.rate_is_anothers():
            why = "a callback sets the learning rate"
        if why is None and _kept(module, trainer, self._native is not None) != self._kept:
            why = "a callback has changed what is trained, or how"
        if why:
            one_by_one(module, why, f", from update {trainer.global_step + 1} on")
        return why is None

    def _update(self, x: Tensor, y: Tensor) -> Tensor:
        module, trainer, step = self._module, self._module.trainer, self._module.global_step
        if self._native is None:  # the optimizer has its restored state by now
            of = module.net, trainer.optimizers[0], x.size(1), trainer.gradient_clip_val
            self._native = NativeStep(build.library(), *of, torch.initial_seed(), step)
        rates = [module.lr_at(step + i) for i in range(len(x))]
        total, module._rate = self._native(x, y, rates), rates[-1]
        self._kept = _kept(module, trainer, True)
        return total

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, *args: Any
    ) -> None:
        if self._groups is not None:
            self._groups.show(pl_module, outputs, batch)

    def teardown(self, trainer: pl.Trainer, pl_module: Any, stage: str) -> None:
        if self._groups is not None:
            self._groups.close()
        self._groups = self._native = self._module = None

    def on_exception(self, trainer: pl.Trainer, pl_module: Any, exception: BaseException) -> None:
        self.teardown(trainer, pl_module, "fit")


def one_by_one(module: Any, why: str, since: str = "") -> None:
    """Says why there are no native steps; a ValueError if they are asked for."""
    if module.hparams["engine"] == "native":
        raise ValueError(f"--model.engine native is not possible: {why}; or leave it out")
    module.engine = "autograd"
    log.info("steps by autograd, one by one%s (no native ones: %s)", since, why)


def _kept(module: Any, trainer: Any, begun: bool = False) -> list[Any]:
    """What the referee has seen; once it has begun, also where the native step writes to."""
    names = ("training", "p", "momentum", "eps", "variance", "max_norm", "padding_idx")
    found: list[Any] = [(type(x), *map(vars(x).get, names)) for x in module.modules()]
    found += [trainer.gradient_clip_val, getattr(trainer.datamodule, "batch_size", None)]
    if begun:
        optimizer = trainer.optimizers[0]
        found += [v for key, v in optimizer.param_groups[0].items() if key != "params"]
        state = [t for kept in optimizer.state.values() for t in kept.values()]
        found += [t.data_ptr() for t in (*module.net.parameters(), *module.net.buffers(), *state)]
    return found


def loader_of(trainer: Any) -> MinibatchLoader:
    """The loader of the data module, which always returns the same one."""
    return trainer.datamodule.train_dataloader()


def ruled_out(trainer: Any, module: Any, with_data: bool = True) -> Iterator[str]:
    """What a look shows to be more than the native step can do, as reasons in words."""
    data = trainer.datamodule
    yield from ruled_out_now(trainer, module)
    if with_data and (data is None or type(loader_of(trainer)) is not MinibatchLoader):
        yield "the minibatches come from another loader"
    for hook in DATA_HOOKS:
        if data is not None and is_overridden(hook, data, parent=pl.LightningDataModule):
            yield f"{type(data).__name__} has {hook}"
    for hook in MODULE_HOOKS:
        if is_overridden(hook, module, parent=pl.LightningModule):
            yield f"{type(module).__name__} has {hook}"
    for name in ("training_step", "loss", "forward"):  # what depends on time may begin later
        if seen := CLOCKS.search(dis.Bytecode(getattr(type(module), name)).dis()):
            yield f"{name} looks at {seen[1]}"
    try:
        build.library()
    except build.BuildError as error:
        yield str(error)


def ruled_out_now(trainer: Any, module: Any) -> Iterator[str]:
    """The part of it that a callback may change in a run."""
    by_norm = trainer.gradient_clip_algorithm in (None, "norm")
    strategy, net, parameters = trainer.strategy, module.net, list(module.parameters())
    parts, layers = [module, *net.modules()], getattr(net, "layers", ())
    replaced = [k for x in parts for k, v in vars(x).items() if callable(v) and hasattr(type(x), k)]
    unknown = [type(layer).__name__ for layer in layers if type(layer) not in LAYERS]
    held = [p for x in net.modules() for p in x._parameters.values() if p is not None]
    shared = [*map(id, held)] != [*map(id, parameters)]
    stored = all(p.dtype is torch.float32 and p.is_contiguous() for p in parameters)
    facts = {
        "several processes": trainer.world_size > 1,
        "not on a CPU": strategy.root_device.type != "cpu",
        f"--trainer.precision {trainer.precision}": trainer.precision != "32-true",
        "--trainer.accumulate_grad_batches": trainer.accumulate_grad_batches > 1,
        "--trainer.gradient_clip_algorithm value": trainer.gradient_clip_val and not by_norm,
        "--trainer.detect_anomaly": detects_anomaly(trainer),
        f"strategy {type(strategy).__name__}": type(strategy) is not SingleDeviceStrategy,
        "a precision plugin": type(trainer.precision_plugin) is not Precision,
        "a scheduler sets the learning rate": trainer.lr_scheduler_configs,
        "a compiled module": is_compiled(module),
        "manual optimization": not module.automatic_optimization,
        "torch has a hook for every module": _has_any_global_hook(),
        f"{replaced and replaced[0]} was replaced in the object": replaced,
        f"a network of class {type(net).__name__}": type(net) is not MLP,
        f"{unknown and unknown[0]} has no native step": unknown,
        "a parameter is frozen": not all(p.requires_grad for p in parameters),
        "parameters are shared, or not the network's": shared,
        "a layer has a hook": any(getattr(x, h) for x in module.modules() for h in LAYER_HOOKS),
        "a parameter has a hook": any(getattr(p, h) for p in parameters for h in TENSOR_HOOKS),
        "a parameter is not stored as float32, row by row": not stored,
        "the embedding has max_norm": getattr(getattr(net, "embedding", None), "max_norm", None),
    }
    yield from (name for name, is_so in facts.items() if is_so)
    for callback in trainer.callbacks:
        if needs_every_update(callback) and not isinstance(callback, Engine):
            yield f"{type(callback).__name__} sees every update"

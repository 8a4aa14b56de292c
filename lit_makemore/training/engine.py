"""How the updates of a run are made: by Lightning, one by one, or natively, many at a time.

The Python that a reader sees is what trains. The native step is a faster way to do exactly that: it
is taken if nothing rules it out at a look, and if it does what a copy of the module does.
"""

import dis
import logging
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
# What Lightning calls of a module at every update. The referee's three updates would not show what
# such a hook does later: a module that has one is trained one by one.
MODULE_HOOKS = (
    *HOOKS,
    *("backward", "optimizer_step", "optimizer_zero_grad", "configure_gradient_clipping"),
    *("lr_scheduler_step", "on_train_epoch_start"),
    *DATA_HOOKS,
)
LAYER_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
TENSOR_HOOKS = ("_backward_hooks", "_post_accumulate_grad_hooks")
LAYERS = (*KINDS, nn.Identity)
CLOCKS = {"global_step", "current_epoch", "batch_idx", "trainer"}


class Engine(pl.Callback):
    """Chooses what makes the updates of a LitMLP, says so in a line, and puts it to work.

    With auto, a run that began by autograd is resumed by autograd.

    Raises:
        ValueError: the native engine is asked for and is not possible.
    """

    def __init__(self) -> None:
        self._before: str | None = None  # the engine of a run that is resumed
        self._groups: Groups | None = None
        self._native: NativeStep | None = None
        self._memory: list[Any] = []  # where the native step writes, and the optimizer's settings

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        if checkpoint["global_step"]:  # not the one that a LearningRateFinder makes for its trial
            self._before = checkpoint[KEY]["engine"]

    def setup(self, trainer: pl.Trainer, pl_module: Any, stage: str) -> None:
        if stage == "fit" and pl_module.hparams["engine"] == "native":
            _refuse(next(ruled_out(trainer, pl_module), None))

    def on_fit_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        wanted = pl_module.hparams["engine"]
        pl_module.engine = "manual" if wanted == "manual" else "autograd"
        if wanted == "manual" and (why := differs_by_hand(pl_module)):
            raise ValueError(f"--model.engine manual trains by network/backprop.py, and {why}")
        resumed = wanted == "auto" and self._before == "autograd"
        if wanted in ("manual", "autograd") or resumed:
            how = "the gradients of network/backprop.py" if wanted == "manual" else "autograd"
            log.info("steps by %s, one by one%s", how, ", as before" if resumed else "")
            return
        ends = trainer.max_steps == 0 or trainer.max_epochs == 0
        why = "there is no update" if ends else next(ruled_out(trainer, pl_module), None)
        why = why or disagreement(pl_module, trainer, loader_of(trainer))
        if why is None:
            log.info("native steps (C++)")
            self._settings = _settings_of(pl_module, trainer)
            pl_module.engine = "native"
            self._groups = Groups(trainer, loader_of(trainer), self._update, self._stays)
            self._module = pl_module
            return
        if wanted == "native":
            _refuse(why)
        log.info("steps by autograd, one by one (no native ones: %s)", why)

    def _stays(self) -> bool:
        """Whether the next updates may be native: nobody has changed what they train, or how."""
        module, trainer = self._module, self._module.trainer
        optimizer = trainer.optimizers[0]
        if (
            _settings_of(module, trainer) == self._settings
            and unknown_optimizer(optimizer, module) is None
            and not module.rate_is_anothers()
            and (self._native is None or _memory_of(optimizer, module) == self._memory)
        ):
            return True
        why, module.engine = "a callback has changed what is trained, or how", "autograd"
        if module.hparams["engine"] == "native":
            _refuse(why)
        step = trainer.global_step + 1
        log.info("steps by autograd, one by one, from update %d on (%s)", step, why)
        return False

    def _update(self, x: Tensor, y: Tensor) -> Tensor:
        module, trainer, step = self._module, self._module.trainer, self._module.global_step
        if self._native is None:  # the optimizer has its restored state by now
            clip, seed = trainer.gradient_clip_val or None, torch.initial_seed()
            of = module.net, trainer.optimizers[0], x.size(1), clip, seed, step
            self._native = NativeStep(build.library(), *of)
        rates = [module.lr_at(step + i) for i in range(len(x))]
        total, module._rate = self._native(x, y, rates), rates[-1]
        self._memory = _memory_of(trainer.optimizers[0], module)
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


def _settings_of(module: Any, trainer: Any) -> list[Any]:
    """What the native step takes for granted, and a callback could change on the way."""
    names = ("training", "p", "momentum", "eps", "variance", "max_norm", "padding_idx")
    parts = [(id(x), type(x), *map(vars(x).get, names)) for x in module.modules()]
    hooks = [len(vars(part)[hook]) for part in module.modules() for hook in LAYER_HOOKS]
    hooks += [len(getattr(p, hook) or ()) for p in module.parameters() for hook in TENSOR_HOOKS]
    others = [*map(id, trainer.callbacks), _replaced(module), _has_any_global_hook()]
    others += [module.automatic_optimization, getattr(trainer.datamodule, "batch_size", None)]
    clip = trainer.gradient_clip_val, trainer.gradient_clip_algorithm
    rate = len(trainer.lr_scheduler_configs), trainer.accumulate_grad_batches
    return [parts, hooks, others, clip, rate, [p.requires_grad for p in module.parameters()]]


def _memory_of(optimizer: Any, module: Any) -> list[Any]:
    """Where the tensors lie that the native step writes to, and the optimizer's settings."""
    (group,) = optimizer.param_groups
    state = [t for s in optimizer.state.values() for t in s.values()]
    tensors = [*module.net.parameters(), *module.net.buffers(), *state]
    settings = [value for key, value in group.items() if key != "params"]
    return [*(t.data_ptr() for t in tensors), *settings]


def _refuse(why: str | None) -> None:
    if why is not None:
        raise ValueError(f"--model.engine native is not possible: {why}; or leave it out")


def loader_of(trainer: Any) -> MinibatchLoader:
    """The loader of the data module, which always returns the same one."""
    return trainer.datamodule.train_dataloader()


def ruled_out(trainer: Any, module: Any, with_data: bool = True) -> Iterator[str]:
    """What a look shows to be more than the native step can do, as reasons in words."""
    by_norm = trainer.gradient_clip_algorithm in (None, "norm")
    facts = {
        "several processes": trainer.world_size > 1,
        "not on a CPU": trainer.strategy.root_device.type != "cpu",
        f"--trainer.precision {trainer.precision}": trainer.precision != "32-true",
        "--trainer.accumulate_grad_batches": trainer.accumulate_grad_batches > 1,
        "--trainer.gradient_clip_algorithm value": trainer.gradient_clip_val and not by_norm,
        "--trainer.detect_anomaly": detects_anomaly(trainer),
        f"strategy {type(trainer.strategy).__name__}": (
            type(trainer.strategy) is not SingleDeviceStrategy
        ),
        "a precision plugin": type(trainer.precision_plugin) is not Precision,
    }
    yield from (name for name, is_so in facts.items() if is_so)
    for callback in trainer.callbacks:
        if needs_every_update(callback) and not isinstance(callback, Engine):
            yield f"{type(callback).__name__} sees every update"
    data: Any = trainer.datamodule
    if with_data and (data is None or type(data.train_dataloader()) is not MinibatchLoader):
        yield "the minibatches come from another loader"
    for hook in DATA_HOOKS:
        if data is not None and is_overridden(hook, data, parent=pl.LightningDataModule):
            yield f"{type(data).__name__} has {hook}"
    yield from _ruled_out_of(module)
    try:
        build.library()
    except build.BuildError as error:
        yield str(error)


def _ruled_out_of(module: Any) -> Iterator[str]:
    """The same, of a module."""
    replaced, net, parameters = _replaced(module), module.net, list(module.parameters())
    tensors = [p for x in net.modules() for p in x._parameters.values() if p is not None]
    unknown = [type(x).__name__ for x in getattr(net, "layers", ()) if type(x) not in LAYERS]
    facts = {
        "a compiled module": is_compiled(module),
        "manual optimization": not module.automatic_optimization,
        "torch has a hook for every module": _has_any_global_hook(),
        f"{replaced and replaced[0][0]} was replaced in the object": replaced,
        f"a network of class {type(net).__name__}": type(net) is not MLP,
        f"{unknown and unknown[0]} has no native step": unknown,
        "a parameter is frozen": not all(p.requires_grad for p in parameters),
        "parameters are shared, or not the network's": [*map(id, tensors)]
        != [*map(id, parameters)],
        "a layer has a hook": any(getattr(x, h) for x in module.modules() for h in LAYER_HOOKS),
        "a parameter has a hook": any(getattr(p, h) for p in parameters for h in TENSOR_HOOKS),
        "a parameter is not stored as float32, row by row": not all(
            p.dtype is torch.float32 and p.is_contiguous() for p in parameters
        ),
        "the embedding has max_norm": getattr(getattr(net, "embedding", None), "max_norm", None),
    }
    yield from (name for name, is_so in facts.items() if is_so)
    for hook in MODULE_HOOKS:
        if is_overridden(hook, module, parent=pl.LightningModule):
            yield f"{type(module).__name__} has {hook}"
    for name in ("training_step", "loss", "forward"):  # what depends on time may begin later
        if seen := CLOCKS & _names_read(getattr(type(module), name)):
            yield f"{name} looks at {min(seen)}"


def _replaced(module: Any) -> list[tuple[str, Any]]:
    """The methods of a module and of its layers that were replaced in the object, by name."""
    parts = [module, *module.net.modules()]
    return [(k, v) for part in parts for k, v in vars(part).items()
            if callable(v) and hasattr(type(part), k)]  # fmt: skip


def _names_read(function: Any) -> set[str]:
    """The variables and attributes that the code of a function reads."""
    read = (i.argval for i in dis.get_instructions(function) if i.opname.startswith("LOAD"))
    return {
        n for arg in read for n in (arg if isinstance(arg, tuple) else (arg,)) if type(n) is str
    }

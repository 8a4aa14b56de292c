"""A pretended GPU for machines without one, so that tensors of two devices meet in the tests.

Inside `pretended_gpu()` there is a device DEVICE. Its tensors lie in the memory of the CPU, and the
CPU computes, so the numbers are a CPU's. But an operation on tensors of both devices raises Mixed,
as it would on a GPU, and so does what NumPy or a generator of the CPU does with one of its tensors.
Inside `lightning_has_it(monkeypatch)`, --trainer.accelerator gpu trains there.

It cannot see streams and waits, CUDA's own random state, autocast and float16, fused optimizers,
deterministic kernels, NCCL and several processes, and gradients that cross from one device to the
other. Other threads do not see the device: the monitor's pictures are drawn in this one.
"""

from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any

import torch
from lightning.pytorch.accelerators import CUDAAccelerator
from torch import Generator, Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from torch.utils._pytree import tree_leaves, tree_map

from lit_makemore.diagnostics import monitor

PRETENDED = "xpu"  # torch knows the word; neither Lightning nor this project does anything for it
DEVICE, CPU = torch.device(PRETENDED), torch.device("cpu")
FOR_THE_CPU = ("numpy", "__array__", "__dlpack__", "data_ptr")
aten: Any = torch.ops.aten
COPY = aten.copy_.default
MOVES = (COPY, aten._to_copy.default)
INDEXED = (
    aten.index.Tensor,
    aten.index_put.default,
    aten.index_put_.default,
    aten._index_put_impl_.default,
)


class Mixed(RuntimeError):
    """An operation that a GPU refuses: it takes tensors, or a generator, of two devices."""


class _Operations(TorchDispatchMode):
    """Sees every operation, autograd's too. Results are where their arguments are.

    What lies on the device is known by the number of its storage. The storages are kept, so that no
    later one has the same number.
    """

    def __init__(self) -> None:
        super().__init__()
        self._there: dict[int, Any] = {}

    def has(self, tensor: Tensor) -> bool:
        return tensor.untyped_storage()._cdata in self._there

    def take(self, value: Any) -> Any:
        """Puts all tensors of a result on the device."""
        for tensor in tree_leaves(value):
            if isinstance(tensor, Tensor):
                storage = tensor.untyped_storage()
                self._there[storage._cdata] = storage
        return value

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        given = tree_leaves((args, kwargs or {}))
        tensors = [one for one in given if isinstance(one, Tensor)]
        on_gpu = any(map(self.has, tensors))
        if on_gpu and operation not in MOVES:
            if any(isinstance(one, Generator) for one in given):
                raise Mixed(f"{operation}: a generator of the CPU draws on {DEVICE}")
            if any(not self._may_meet(operation, args, tensor) for tensor in tensors):
                raise Mixed(f"{operation}: tensors on {DEVICE} and on the CPU")
        result = operation(*args, **(kwargs or {}))
        return self.take(result) if on_gpu and operation is not COPY else result

    def _may_meet(self, operation: Any, args: Any, tensor: Tensor) -> bool:
        """Whether an operation on the device takes this tensor, wherever it is."""
        if self.has(tensor):
            return True
        if operation in INDEXED and self.has(args[0]):  # indices may be on the CPU
            return len(args) < 3 or tensor is not args[2] or tensor.ndim == 0
        changed = operation._schema.is_mutable and tensor is args[0]
        return tensor.ndim == 0 and not changed  # a number


class _Device(TorchFunctionMode):
    """Sees what Python calls: what makes a tensor on a device, moves it, or asks where it is."""

    def __init__(self, operations: _Operations) -> None:
        super().__init__()
        self._operations = operations

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs, name = dict(kwargs or {}), getattr(function, "__name__", "")
        has, take = self._operations.has, self._operations.take
        if function == Tensor.device.__get__:
            return DEVICE if has(args[0]) else CPU
        if name in FOR_THE_CPU and has(args[0]):
            raise TypeError(f"{name} of a tensor on {DEVICE}")
        if name in ("to", "cpu"):
            wanted = CPU if name == "cpu" else self._named(*args[1:], *kwargs.values())
            moved = function(*tree_map(_on_cpu, args), **tree_map(_on_cpu, kwargs))
            if wanted is None or (wanted == DEVICE) == has(args[0]):
                return moved
            return take(moved.clone()) if wanted == DEVICE else _copied(moved)
        wanted = self._named(kwargs.get("device"))
        result = function(*args, **tree_map(_on_cpu, kwargs))
        there = wanted == DEVICE or (name == "__deepcopy__" and has(args[0]))
        return take(result) if there else result

    def _named(self, *arguments: Any) -> torch.device | None:
        """The device that one of the arguments of `to` names, or lies on."""
        for one in arguments:
            if isinstance(one, Tensor):
                return DEVICE if self._operations.has(one) else CPU
            if isinstance(one, torch.device | str):
                return torch.device(torch.device(one).type)
        return None


def _on_cpu(argument: Any) -> Any:
    return CPU if isinstance(argument, torch.device) or argument == PRETENDED else argument


def _copied(tensor: Tensor) -> Tensor:
    with _disable_current_modes():
        return torch.empty_like(tensor).copy_(tensor)


@contextmanager
def pretended_gpu() -> Iterator[None]:
    """Inside the block there is a device DEVICE."""
    operations = _Operations()
    with operations, _Device(operations):
        yield


@contextmanager
def lightning_has_it(monkeypatch) -> Iterator[None]:
    """The same, and Lightning finds it where it looks for a GPU."""

    def drawn(function: Any) -> Future[None]:
        future: Future[None] = Future()
        future.set_result(function())
        return future

    gpu = {
        "is_available": lambda: True,
        "auto_device_count": lambda: 1,
        "parse_devices": lambda devices: [0],
        "get_parallel_devices": lambda devices: [DEVICE],
        "setup_device": lambda device: None,
    }
    with monkeypatch.context() as patch, pretended_gpu():
        for name, function in gpu.items():
            patch.setattr(CUDAAccelerator, name, staticmethod(function))
        patch.setattr(CUDAAccelerator, "setup", lambda self, trainer: None)
        patch.setattr(CUDAAccelerator, "teardown", lambda self: None)
        patch.setattr(monitor._ARTIST, "submit", drawn)
        yield

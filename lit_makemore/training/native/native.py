"""The training step in C++: describes a network and its optimizer to native.cpp.

That has the mathematics, the lecture's hand-derived gradients, and works on the memory of the torch
tensors, in place.

Shapes: B batch, T block_size, V vocab_size.
"""

import ctypes
import weakref
from collections.abc import Sequence
from ctypes import c_double, c_int32, c_int64, c_uint64, c_void_p
from typing import Any, get_args

import torch
from torch import Tensor, nn

from lit_makemore.network.layers import BatchNorm1d, Linear, Tanh, Variance
from lit_makemore.network.mlp import MLP

KINDS = (Linear, BatchNorm1d, Tanh, nn.ReLU, nn.Dropout)  # in the order of native.cpp's Kind
VARIANCES = get_args(Variance)  # likewise


class _Layer(ctypes.Structure):
    _fields_ = [
        *((name, c_int32) for name in ("kind", "n_in", "n_out", "variance")),
        *((name, c_void_p) for name in ("weight", "bias", "d_weight", "d_bias")),
        *((name, c_void_p) for name in ("running_mean", "running_var")),
        *((name, c_double) for name in ("eps", "momentum", "rate")),
    ]


class _Parameter(ctypes.Structure):
    _fields_ = [
        ("size", c_int64),
        *((name, c_void_p) for name in ("p", "grad", "exp_avg", "exp_avg_sq")),
    ]


class _Settings(ctypes.Structure):
    _fields_ = [
        *((name, c_int32) for name in ("B", "T", "C", "V")),
        *((name, c_int32) for name in ("n_layers", "n_parameters", "adamw", "threads")),
        *((name, c_void_p) for name in ("layers", "parameters", "embedding", "d_embedding")),
        *((name, c_double) for name in ("beta1", "beta2", "eps", "weight_decay", "clip_norm")),
        ("seed", c_uint64),
    ]


BATCH = (c_void_p, c_void_p, c_void_p)  # windows, next characters, distributions of them
FUNCTIONS: dict[str, tuple[Any, ...]] = {  # of native.cpp: what they return and take
    "network_open": (c_void_p, c_void_p),
    "network_close": (None, c_void_p),
    "network_gradients": (c_double, c_void_p, *BATCH, c_int64),
    "network_steps": (c_double, c_void_p, c_int64, *BATCH, c_void_p, c_int64, c_int64),
    "network_mask": (None, c_void_p, c_int32, c_void_p),
}


class NativeStep:
    """Updates a network, in training mode on the CPU in float32, and its optimizer's state.

    Both are afterwards what autograd and torch.optim would leave: SGD without momentum, or AdamW,
    with all parameters in one group. Other tensors or settings need another NativeStep.

    Args:
        clip_norm: largest 2-norm of the gradient of all parameters together; None for no limit.
        seed: what the masks of Dropout follow from, with the number of the update.
        updates: how many updates the run has made before.
    """

    def __init__(
        self,
        library: ctypes.CDLL,
        net: MLP,
        optimizer: torch.optim.Optimizer,
        batch_size: int,
        clip_norm: float | None = None,
        seed: int = 0,
        updates: int = 0,
    ) -> None:
        (group,) = optimizer.param_groups
        self.net, self.optimizer, self.updates = net, optimizer, updates
        self.adamw = isinstance(optimizer, torch.optim.AdamW)
        self.gradient = {p: torch.zeros_like(p) for p in group["params"]}
        parameters = []
        for p, grad in self.gradient.items():
            parameters.append(_Parameter(p.numel(), p.data_ptr(), grad.data_ptr()))
            if self.adamw:
                if not optimizer.state[p]:  # before its first update
                    zeros = {"exp_avg": torch.zeros_like(p), "exp_avg_sq": torch.zeros_like(p)}
                    optimizer.state[p].update(step=torch.tensor(0.0), **zeros)
                parameters[-1].exp_avg = optimizer.state[p]["exp_avg"].data_ptr()
                parameters[-1].exp_avg_sq = optimizer.state[p]["exp_avg_sq"].data_ptr()
        self._counts = [x.num_batches_tracked for x in net.layers if isinstance(x, BatchNorm1d)]
        # an Identity, where there is no activation, has nothing to do
        self._numbers = [i for i, x in enumerate(net.layers) if not isinstance(x, nn.Identity)]
        layers = [self._layer(net.layers[i]) for i in self._numbers]
        for before, layer in zip(layers, layers[1:], strict=False):
            layer.n_in = before.n_out
            layer.n_out = layer.n_out or layer.n_in
        self._layers = (_Layer * len(layers))(*layers)
        self._parameters = (_Parameter * len(parameters))(*parameters)
        beta1, beta2 = group.get("betas", (0.0, 0.0))
        embedding = net.embedding.weight
        vocab_size, n_embd = embedding.shape
        self._batch_size, self._sizes = batch_size, (layers[0].n_in // n_embd, vocab_size)
        settings = _Settings(
            *(batch_size, self._sizes[0], n_embd, vocab_size),
            *(len(layers), len(parameters), self.adamw, torch.get_num_threads()),
            *(ctypes.addressof(self._layers), ctypes.addressof(self._parameters)),
            *(embedding.data_ptr(), self.gradient[embedding].data_ptr()),
            *(beta1, beta2, group.get("eps", 0.0), group["weight_decay"], clip_norm or 0.0),
            seed % 2**64,
        )
        self._library = library
        for name, (result, *arguments) in FUNCTIONS.items():
            function = getattr(library, name)
            function.restype, function.argtypes = result, arguments
        self._network = c_void_p(self._library.network_open(ctypes.byref(settings)))
        weakref.finalize(self, self._library.network_close, self._network)

    def __call__(self, x: Tensor, y: Tensor, lrs: Sequence[float]) -> Tensor:
        """One update for each of G minibatches, by windows (G, B, T), targets (G, B) or (G, B, V)
        and G learning rates. Returns the sum of the G losses, a scalar in float64."""
        assert x.size(1) == self._batch_size
        (size, n), soft = self._sizes, y.is_floating_point()
        # native.cpp would read and write somewhere
        if x.size(2) != size or x.max() >= n or (y.size(2) != n if soft else y.max() >= n):
            raise ValueError("the network was made for other windows or characters than these")
        x, y = x.contiguous(), (y.float() if soft else y).contiguous()
        states = [self.optimizer.state[p] for p in self.gradient] if self.adamw else []
        made = self.updates, int(states[0]["step"]) if states else 0
        batch = *_addresses(x, y), (c_double * len(lrs))(*lrs)
        total = self._library.network_steps(self._network, len(x), *batch, *made)
        self.updates += len(lrs)
        self.optimizer.param_groups[0]["lr"] = lrs[-1]
        for count in [*self._counts, *(state["step"] for state in states)]:
            count += len(lrs)
        return torch.tensor(total, dtype=torch.float64)

    def dropout_masks(self) -> dict[int, Tensor]:
        """What each Dropout layer multiplied by in the last minibatch: (B, F), by number in net."""
        masks = {}
        for i, layer in enumerate(self._layers):
            if KINDS[layer.kind] is nn.Dropout:
                mask = torch.empty(self._batch_size, layer.n_out)
                self._library.network_mask(self._network, i, mask.data_ptr())
                masks[self._numbers[i]] = mask
        return masks

    def _layer(self, layer: nn.Module) -> _Layer:
        described = _Layer(kind=[isinstance(layer, kind) for kind in KINDS].index(True))
        if isinstance(layer, Linear):
            described.n_out, described.n_in = layer.weight.shape
        if isinstance(layer, Linear | BatchNorm1d):
            described.weight = layer.weight.data_ptr()
            described.d_weight = self.gradient[layer.weight].data_ptr()
            if layer.bias is not None:
                described.bias = layer.bias.data_ptr()
                described.d_bias = self.gradient[layer.bias].data_ptr()
        if isinstance(layer, BatchNorm1d):
            described.running_mean = layer.running_mean.data_ptr()
            described.running_var = layer.running_var.data_ptr()
            described.eps, described.momentum = layer.eps, layer.momentum
            described.variance = VARIANCES.index(layer.variance)
        if isinstance(layer, nn.Dropout):
            described.rate = layer.p
        return described


def _addresses(x: Tensor, y: Tensor) -> tuple[int | None, ...]:
    """As BATCH; one of the last two is None."""
    targets = y.data_ptr(), None
    return x.data_ptr(), *(targets[::-1] if y.is_floating_point() else targets)

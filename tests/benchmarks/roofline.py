"""Billions of floating-point operations a second on one thread: a native step, and torch.mm.

    python -m tests.benchmarks.roofline

Of a step only its products of matrices count: 6 operations for each weight and example.
"""

import json
from collections.abc import Callable
from time import perf_counter

import torch

from lit_makemore.network.mlp import MLP
from lit_makemore.training.native import build
from lit_makemore.training.native.native import NativeStep

NETWORKS = {
    "one_layer, batch 32": (32, {"n_layer": 1}),
    "deep, batch 32": (32, {}),
    "deep, batch 512": (512, {}),
    "3 × 512 units, batch 1,024": (1024, {"block_size": 8, "n_hidden": 512, "n_layer": 3}),
}


def seconds(function: Callable[[], object]) -> float:
    """The shortest of ten calls."""
    found = []
    for _ in range(10):
        begun = perf_counter()
        function()
        found.append(perf_counter() - begun)
    return min(found)


def native(batch_size: int, **options: int) -> float:
    net = MLP(27, **options)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
    step = NativeStep(build.library(), net, optimizer, batch_size)
    weights = sum(p.numel() for p in net.parameters() if p.ndim == 2)
    n = max(1, 2000 // batch_size)
    x = torch.randint(27, (n, batch_size, options.get("block_size", 3)))
    y = torch.randint(27, (n, batch_size))
    return 6 * weights * batch_size * n / seconds(lambda: step(x, y, [0.01] * n)) / 1e9


def main() -> None:
    torch.set_num_threads(1)
    a, b = torch.randn(1024, 1024), torch.randn(1024, 1024)
    found = {"torch.mm": 2 * 1024**3 / seconds(lambda: a @ b) / 1e9}
    for name, (batch_size, options) in NETWORKS.items():
        found[name] = native(batch_size, **options)
    print(json.dumps(found))


if __name__ == "__main__":
    main()

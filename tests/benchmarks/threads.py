"""From which size on a second thread pays: steps on one thread and on all cores.

    OMP_WAIT_POLICY=passive python -m tests.benchmarks.threads [--engine autograd] [--rounds N]

One thread and all take turns, a short block of steps each; a row is the fastest block of each,
which other programs on the machine disturb least. The size is parameters times batch_size. Steps
are native, unless --engine autograd is given.
"""

import argparse
from collections.abc import Callable
from time import perf_counter

import torch
from torch.nn.functional import cross_entropy

from lit_makemore.commands.threads import cores
from lit_makemore.network.mlp import MLP
from lit_makemore.training.native import build
from lit_makemore.training.native.native import NativeStep

NETWORKS = {"n_hidden 64": (3, 64), "n_hidden 100": (3, 100), "n_hidden 300": (3, 300)}
NETWORKS |= {"best_small, n_hidden 158": (8, 158), "best, n_hidden 512": (8, 512)}
BATCHES = (32, 128, 256, 512, 1024, 2048, 4096)
BLOCK_S = 0.02  # about as long as the system lets a program run undisturbed


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--engine", choices=("native", "autograd"), default="native")
    parser.add_argument("--rounds", type=int, default=60)
    arguments = parser.parse_args()
    many = cores()
    rows = []
    for name, (block_size, n_hidden) in NETWORKS.items():
        for batch_size in BATCHES:
            net = MLP(27, block_size, n_hidden=n_hidden, n_layer=3)
            size = sum(p.numel() for p in net.parameters()) * batch_size
            make = {"native": native, "autograd": eager}[arguments.engine]
            figures = seconds(make, net, block_size, batch_size, many, arguments.rounds)
            rows.append((size, name, batch_size, *figures))
    print(
        f"{'size':>12}  {'network':<26}{'batch':>6}{'1 thread':>12}{f'{many} threads':>12}  ratio"
    )
    for size, name, batch_size, one, all_ in sorted(rows):
        rates = f"{1 / one:>12,.0f}{1 / all_:>12,.0f}  {one / all_:.2f}"
        print(f"{size:>12,}  {name:<26}{batch_size:>6}{rates}")


def seconds(
    make: Callable[..., Callable[[], None]],
    net: MLP,
    block_size: int,
    batch_size: int,
    many: int,
    rounds: int,
) -> list[float]:
    """Seconds of a step on one thread, and on many."""
    x, y = torch.randint(27, (batch_size, block_size)), torch.randint(27, (batch_size,))
    steps = {}
    for threads in (1, many):
        torch.set_num_threads(threads)
        steps[threads] = make(net, x, y)
    fastest = [float("inf"), float("inf")]
    for _ in range(rounds):
        for i, (threads, step) in enumerate(steps.items()):
            torch.set_num_threads(threads)
            step()  # wakes the threads
            done, begun = 0, perf_counter()
            while (spent := perf_counter() - begun) < BLOCK_S:
                step()
                done += 1
            fastest[i] = min(fastest[i], spent / max(done, 1))
    return fastest


def native(net: MLP, x: torch.Tensor, y: torch.Tensor) -> Callable[[], None]:
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3)
    step = NativeStep(build.library(), net, optimizer, len(x))
    return lambda: step(x[None], y[None], [1e-3])


def eager(net: MLP, x: torch.Tensor, y: torch.Tensor) -> Callable[[], None]:
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3)

    def step() -> None:
        optimizer.zero_grad()
        cross_entropy(net(x), y).backward()
        optimizer.step()

    return step


if __name__ == "__main__":
    main()

"""From which size on a second thread pays: ordinary steps on one thread and on all cores.

    OMP_WAIT_POLICY=passive python -m tests.benchmarks.threads [--rounds N]

One thread and all take turns, a short block of steps each; a row is the fastest block of each,
which other programs on the machine disturb least. The size is parameters times batch_size.
"""

import argparse
from time import perf_counter

import torch
from torch.nn.functional import cross_entropy

from lit_makemore.commands.threads import cores
from lit_makemore.network.mlp import MLP

NETWORKS = {"n_hidden 64": (3, 64), "n_hidden 100": (3, 100), "n_hidden 300": (3, 300)}
NETWORKS["best_small, n_hidden 158"] = (8, 158)
BATCHES = (32, 128, 256, 512, 1024, 2048, 4096)
BLOCK_S = 0.02  # about as long as the system lets a program run undisturbed


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=60)
    rounds = parser.parse_args().rounds
    many = cores()
    rows = []
    for name, (block_size, n_hidden) in NETWORKS.items():
        for batch_size in BATCHES:
            net = MLP(27, block_size, n_hidden=n_hidden)
            size = sum(p.numel() for p in net.parameters()) * batch_size
            figures = seconds(net, block_size, batch_size, many, rounds)
            rows.append((size, name, batch_size, *figures))
    print(
        f"{'size':>12}  {'network':<26}{'batch':>6}{'1 thread':>12}{f'{many} threads':>12}  ratio"
    )
    for size, name, batch_size, one, all_ in sorted(rows):
        rates = f"{1 / one:>12,.0f}{1 / all_:>12,.0f}  {one / all_:.2f}"
        print(f"{size:>12,}  {name:<26}{batch_size:>6}{rates}")


def seconds(net: MLP, block_size: int, batch_size: int, many: int, rounds: int) -> list[float]:
    """Seconds of a step on one thread, and on many."""
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3)
    x, y = torch.randint(27, (batch_size, block_size)), torch.randint(27, (batch_size,))
    fastest = [float("inf"), float("inf")]
    for _ in range(rounds):
        for i, threads in enumerate((1, many)):
            torch.set_num_threads(threads)
            step(net, optimizer, x, y)  # wakes the threads
            steps, begun = 0, perf_counter()
            while (spent := perf_counter() - begun) < BLOCK_S:
                step(net, optimizer, x, y)
                steps += 1
            fastest[i] = min(fastest[i], spent / steps)
    return fastest


def step(net: MLP, optimizer: torch.optim.Optimizer, x: torch.Tensor, y: torch.Tensor) -> None:
    optimizer.zero_grad()
    cross_entropy(net(x), y).backward()
    optimizer.step()


if __name__ == "__main__":
    main()

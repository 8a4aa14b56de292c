"""How many CPU threads torch uses: as --threads says, else OMP_NUM_THREADS, else by size.

A network learns on one thread where a second one costs more than it brings, else on all cores.
"""

import os
from contextlib import suppress
from pathlib import Path

import torch

# Parameters times examples of a minibatch. Below it two threads made 0.31 to 0.92 times as many
# native steps a second as one, above it 0.92 to 1.01 times, on two busy cores of an AMD EPYC:
# OMP_WAIT_POLICY=passive python -m tests.benchmarks.threads
SMALL = 100_000_000
MOST = 1024  # some 100,000 threads end the process with a segmentation fault
ASKED = os.environ.get("OMP_NUM_THREADS", "")  # by the user: `use` has not set it yet
QUOTA = Path("/sys/fs/cgroup/cpu.max")  # of a container: microseconds in each period, the period


def use(n: int) -> None:
    torch.set_num_threads(n)
    os.environ["OMP_NUM_THREADS"] = str(n)  # else Lightning divides the cores by the processes


def asked(option: int | None) -> int | None:
    """What the user says: the option, else OMP_NUM_THREADS; 1 to MOST."""
    name, n = "--threads", option
    if n is None and ASKED.isdecimal():
        name, n = "OMP_NUM_THREADS", int(ASKED) or None
    if n is not None and not 1 <= n <= MOST:
        raise ValueError(f"{name} must be 1 to {MOST}, not {n}")
    return n


def for_training(parameters: int, batch_size: int, processes: int = 1) -> int:
    """The threads of each process on this machine, where batch_size is of all together."""
    small = parameters * batch_size // processes < SMALL
    return 1 if small else max(1, cores() // processes)


def cores() -> int:
    """The cores that this process may use, not those of the machine; at least 1."""
    some = hasattr(os, "sched_getaffinity")  # neither on macOS nor on Windows
    allowed = len(os.sched_getaffinity(0)) if some else os.cpu_count() or 1
    with suppress(OSError, ValueError):  # no file outside a container, "max" without a limit
        quota, period = map(int, QUOTA.read_text().split())
        allowed = min(allowed, quota // period)
    return max(1, allowed)

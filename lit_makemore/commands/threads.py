"""How many CPU threads torch uses.

What the user says counts: --threads, or OMP_NUM_THREADS. Otherwise a network learns on one thread
where a second one would cost more than it brings, and on all cores of this process elsewhere.
"""

import os
from collections.abc import Iterator
from math import floor
from pathlib import Path

import torch

# Parameters times examples of a minibatch. Below it two threads made 0.31 to 0.92 times as many
# native steps a second as one, above it 0.92 to 1.01 times, on two cores of an AMD EPYC that other
# programs used, too: OMP_WAIT_POLICY=passive python -m tests.benchmarks.threads
SMALL = 100_000_000
MOST = 1024  # some 100,000 threads end the process with a segmentation fault
ASKED = os.environ.get("OMP_NUM_THREADS", "")  # by the user: `use` has not set it yet
CGROUPS = Path("/sys/fs/cgroup")
MEMBERSHIP = Path("/proc/self/cgroup")


def use(n: int) -> None:
    """Sets the CPU threads of torch."""
    torch.set_num_threads(n)
    os.environ["OMP_NUM_THREADS"] = str(n)  # else Lightning divides the cores by the processes


def asked(option: int | None) -> int | None:
    """What the user says: the option, else OMP_NUM_THREADS.

    Raises:
        ValueError: there would be more than MOST, or none.
    """
    if option is not None:
        return _checked("--threads", option)
    return _checked("OMP_NUM_THREADS", int(ASKED)) if ASKED.isdecimal() and int(ASKED) else None


def _checked(name: str, n: int) -> int:
    if not 1 <= n <= MOST:
        raise ValueError(f"{name} must be 1 to {MOST}, not {n}")
    return n


def for_training(parameters: int, batch_size: int, processes: int = 1) -> int:
    """The threads of each process that trains a network.

    Args:
        parameters: of the network.
        batch_size: examples of an update, over all processes together.
        processes: how many share the cores of this machine.
    """
    small = parameters * batch_size // processes < SMALL
    return 1 if small else max(1, cores() // processes)


def cores() -> int:
    """The cores that this process may use, not those of the machine; at least 1."""
    if hasattr(os, "sched_getaffinity"):
        allowed = len(os.sched_getaffinity(0))
    else:  # macOS, Windows
        allowed = os.cpu_count() or 1
    return max(1, floor(min([allowed, *_quotas()])))


def _quotas() -> Iterator[float]:
    """The cores' worth of time that each control group around this process is limited to.

    A container sees its own group as the root, whatever the membership says.
    """
    try:
        lines = MEMBERSHIP.read_text().splitlines()
    except OSError:  # only Linux has them
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        root = CGROUPS / "cpu" if controllers else CGROUPS
        group = root / path.lstrip("/")
        for folder in (group, *group.parents):
            try:
                if controllers:  # version 1
                    quota = (folder / "cpu.cfs_quota_us").read_text()
                    period = (folder / "cpu.cfs_period_us").read_text()
                else:
                    quota, period = (folder / "cpu.max").read_text().split()
                if quota != "max" and int(quota) > 0:
                    yield int(quota) / int(period)
            except (OSError, ValueError):
                pass
            if folder == root:
                break

"""What depends on the step: the learning rate, and when the network is probed. Pure functions.

In step_decay and one_cycle the first update is at step 0; in is_due and until_due it is number 1.
"""

from collections.abc import Sequence
from math import cos, pi

EARLY = (1, 10, 100, 1000)  # updates that are always probed, because most happens early


def step_decay(step: int, milestones: Sequence[int], gamma: float) -> float:
    """gamma to the power of how many milestones have been reached; milestones[0] is the first step
    with the lower rate."""
    return gamma ** sum(step >= milestone for milestone in milestones)


def one_cycle(step: int, total_steps: int, warmup: float) -> float:
    """Half a cosine up from 1/25 to 1, in a share `warmup` of all updates, in [0, 1), then half a
    cosine down to 4e-6 (Smith & Topin, 2018)."""
    start, end = 1 / 25, 1 / 25 / 1e4  # torch.optim.lr_scheduler.OneCycleLR's
    peak = warmup * total_steps - 1
    if step < peak:
        return _anneal(start, 1.0, step / peak)
    peak = max(peak, 0)
    return _anneal(1.0, end, min((step - peak) / max(total_steps - 1 - peak, 1), 1.0))


def _anneal(start: float, end: float, share: float) -> float:
    return end + (start - end) * (1 + cos(pi * share)) / 2


def is_due(step: int, interval: int) -> bool:
    """Whether update number `step` is probed: every interval-th is, and those of EARLY."""
    return step in EARLY or (step > 0 and step % interval == 0)


def until_due(step: int, interval: int) -> int:
    """How many updates lie between number `step` and the next one that is probed."""
    early = [first - step for first in EARLY if first > step]
    return min([interval - step % interval, *early])


def is_round(n: int) -> bool:
    """Whether n is 1, 2 or 5 times a power of ten: 1, 2, 5, 10, 20, 50, 100 …"""
    while n >= 10 and n % 10 == 0:
        n //= 10
    return n in (1, 2, 5)

"""Learning-rate schedules: pure functions from a step to what multiplies the base rate.

`step` counts the optimizer updates already made, so the first update happens at step 0.
"""

from collections.abc import Sequence
from math import cos, pi


def step_decay(step: int, milestones: Sequence[int], gamma: float) -> float:
    """gamma to the power of how many milestones have been reached.

    Update number milestones[0] + 1, the one at step milestones[0], is the first with the lower
    rate. No milestones: a constant rate.
    """
    return gamma ** sum(step >= milestone for milestone in milestones)


def one_cycle(step: int, total_steps: int, warmup: float) -> float:
    """Half a cosine up from 1/25 to 1, then half a cosine down to 4e-6 (Smith & Topin, 2018).

    Args:
        step: updates made, 0 … total_steps - 1.
        total_steps: updates of the whole run.
        warmup: share of the run that rises, in [0, 1).
    """
    start, end = 1 / 25, 1 / 25 / 1e4  # torch.optim.lr_scheduler.OneCycleLR's
    peak = warmup * total_steps - 1
    if step < peak:
        return _anneal(start, 1.0, step / peak)
    return _anneal(
        1.0, end, min((step - max(peak, 0)) / max(total_steps - 1 - max(peak, 0), 1), 1.0)
    )


def _anneal(start: float, end: float, share: float) -> float:
    return end + (start - end) * (1 + cos(pi * share)) / 2

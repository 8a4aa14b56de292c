import pytest
import torch

from lit_makemore.training.schedules import one_cycle, step_decay


def test_step_decay_drops_at_each_milestone():
    rates = [step_decay(step, [2, 4], 0.1) for step in range(6)]
    assert rates == pytest.approx([1, 1, 0.1, 0.1, 0.01, 0.01])


def test_no_milestones_is_a_constant_rate():
    assert step_decay(10**9, [], 0.1) == 1


@pytest.mark.parametrize("total_steps", [10, 137, 1000])
@pytest.mark.parametrize("warmup", [0.2, 0.3, 0.5])
def test_one_cycle_is_torchs(total_steps, warmup):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=1.0)
    theirs = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, 1.0, total_steps, pct_start=warmup, cycle_momentum=False
    )
    for step in range(total_steps):
        expected = theirs.get_last_lr()[0]
        assert one_cycle(step, total_steps, warmup) == pytest.approx(expected, rel=1e-9), step
        optimizer.step()
        if step < total_steps - 1:
            theirs.step()


@pytest.mark.parametrize("total_steps", [1, 2, 3])
@pytest.mark.parametrize("warmup", [0.0, 0.2, 0.9])
def test_one_cycle_is_defined_on_the_shortest_runs_and_past_the_end(total_steps, warmup):
    for step in range(total_steps + 2):
        assert 0 < one_cycle(step, total_steps, warmup) <= 1

import pytest
import torch

from lit_makemore.training.schedules import is_due, is_round, one_cycle, step_decay, until_due


def test_step_decay_drops_at_each_milestone():
    rates = [step_decay(step, [2, 4], 0.1) for step in range(6)]
    assert rates == pytest.approx([1, 1, 0.1, 0.1, 0.01, 0.01])
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


def test_every_nth_update_is_due_and_a_few_early_ones():
    due = [step for step in range(2501) if is_due(step, 400)]
    assert due == [1, 10, 100, 400, 800, 1000, 1200, 1600, 2000, 2400]
    for step in range(2400):
        assert step + until_due(step, 400) == next(d for d in due if d > step)


def test_round_numbers_are_one_two_and_five_times_powers_of_ten():
    assert [n for n in range(2001) if is_round(n)] == [
        1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000,
    ]  # fmt: skip

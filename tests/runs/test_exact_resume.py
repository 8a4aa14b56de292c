"""A continued run ends with the bits of a whole one, wherever it stops and whatever bounds it."""

from itertools import product

import pytest
import torch

from lit_makemore.cli import main

PASS = 8  # minibatches of a pass over the 30 words
LIMITS = {
    "whole passes": [],
    "limit 5": ["--trainer.limit_train_batches", "5"],
    "half": ["--trainer.limit_train_batches", "0.5"],
    "overfit 3": ["--trainer.overfit_batches", "3"],
    "accumulate 2": ["--trainer.accumulate_grad_batches", "2"],
    "accumulate 2, limit 4": [
        *("--trainer.accumulate_grad_batches", "2", "--trainer.limit_train_batches", "4"),
    ],
}
STOPS = {
    "inside a pass": ("--trainer.max_steps", 9, 18),
    "at an end of 5": ("--trainer.max_steps", 10, 20),
    "at an end of 8": ("--trainer.max_steps", PASS, 2 * PASS),
    "by passes": ("--trainer.max_epochs", 2, 4),
}
QUICK = {  # the others are slow ones, because there are so many
    ("limit 5", "shuffled", "eager", "at an end of 5"),
    ("whole passes", "shuffled", "native", "at an end of 8"),
    ("overfit 3", "replacement", "eager", "inside a pass"),
    ("half", "shuffled", "eager", "by passes"),
    ("accumulate 2, limit 4", "shuffled", "eager", "at an end of 8"),
}
CASES = [
    pytest.param(*case, marks=() if case in QUICK else pytest.mark.slow, id=", ".join(case))
    for case in product(LIMITS, ("shuffled", "replacement"), ("eager", "native"), STOPS)
    if not ("accumulate" in case[0] and case[2] == "native")  # refused
]


@pytest.fixture
def fit(tmp_path, word_list):
    usual = f"--data.path {word_list} --data.batch_size 16 --model.n_hidden 8 --model.n_layer 1"
    usual += " --model.optimizer adamw --model.lr 0.01 --threads 1 --diagnostics.enabled false"
    usual += f" --trainer.accelerator cpu --runs_dir {tmp_path}"

    def run(name: str, *more: str) -> dict:
        assert main(["fit", *usual.split(), "--name", name, *more]) == 0
        path = tmp_path / name / "checkpoints" / "last.ckpt"
        return torch.load(path, weights_only=True)

    return run


@pytest.mark.parametrize(("limit", "sampling", "engine", "stop"), CASES)
def test_the_same_bits(fit, limit, sampling, engine, stop):
    option, first, last = STOPS[stop]
    more = [*LIMITS[limit], "--data.sampling", sampling, "--model.engine", engine]
    whole = fit("whole", *more, option, str(last))
    fit("parts", *more, option, str(first))
    parts = fit("parts", *more, option, str(last), "--resume", "true")
    assert parts["global_step"] == whole["global_step"] > 0
    for name, tensor in whole["state_dict"].items():
        assert torch.equal(parts["state_dict"][name], tensor), name


def test_accumulated_gradients_are_updates_of_equal_size(fit, tmp_path):
    """Of 8 minibatches a pass, 3 make an update: the last 2 of a pass are left out."""
    more = ["--trainer.accumulate_grad_batches", "3", "--trainer.val_check_interval", "5"]
    state = fit("run", *more, "--trainer.max_steps", "20", "--data.sampling", "shuffled")
    assert state["global_step"] == 20
    loops = state["loops"]["fit_loop"]
    assert loops["epoch_loop.batch_progress"]["total"]["completed"] == 60
    assert loops["epoch_progress"]["total"]["ready"] == 10  # passes of two updates


def test_a_pass_that_ends_inside_an_update_is_refused(fit, word_list, capsys):
    more = ["--trainer.accumulate_grad_batches", "4", "--trainer.limit_train_batches", "6"]
    with pytest.raises(AssertionError):
        fit("run", *more, "--trainer.max_steps", "20")
    assert "6 minibatches of a pass are no multiple of" in capsys.readouterr().err

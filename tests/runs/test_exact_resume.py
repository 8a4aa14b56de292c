"""A continued run ends with the bits of a whole one, wherever it stops and whatever bounds it."""

import json
from itertools import product
from types import SimpleNamespace

import lightning.pytorch as pl
import pytest
import torch

from lit_makemore import commands
from lit_makemore.cli import main
from lit_makemore.model import KEY
from lit_makemore.runs.exact_resume import ExactResume
from lit_makemore.runs.stopping import StopOnSignal
from tests.same_run import same

SLOW = pytest.mark.slow
PASS = 8  # minibatches of a pass over the 30 words
LIMITS = {
    "whole passes": "",
    "limit 5": "--trainer.limit_train_batches 5",
    "half": "--trainer.limit_train_batches 0.5",
    "overfit 3": "--trainer.overfit_batches 3",
    "accumulate 2": "--trainer.accumulate_grad_batches 2",
    "accumulate 2, limit 4": "--trainer.accumulate_grad_batches 2 --trainer.limit_train_batches 4",
}
STOPS = {
    "inside a pass": ("--trainer.max_steps", 9, 18),
    "at an end of 5": ("--trainer.max_steps", 10, 20),
    "at an end of 8": ("--trainer.max_steps", PASS, 2 * PASS),
    "by passes": ("--trainer.max_epochs", 2, 4),
}
QUICK = {  # the others are slow ones, because there are so many
    ("limit 5", "shuffled", "autograd", "at an end of 5"),
    ("whole passes", "shuffled", "native", "at an end of 8"),
    ("overfit 3", "replacement", "autograd", "inside a pass"),
    ("half", "shuffled", "autograd", "by passes"),
    ("accumulate 2, limit 4", "shuffled", "autograd", "at an end of 8"),
}
CASES = [
    pytest.param(*case, marks=() if case in QUICK else SLOW, id=", ".join(case))
    for case in product(LIMITS, ("shuffled", "replacement"), ("autograd", "native"), STOPS)
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


def stopped_between(fit, stop, *more: str) -> tuple[dict, dict]:
    """The last checkpoint of a whole run, and of one in two parts."""
    option, first, last = stop
    whole = fit("whole", *more, option, str(last))
    fit("parts", *more, option, str(first))
    return whole, fit("parts", *more, option, str(last), "--resume", "true")


@pytest.mark.parametrize(("limit", "sampling", "engine", "stop"), CASES)
def test_the_same_bits(fit, limit, sampling, engine, stop):
    more = [*LIMITS[limit].split(), "--data.sampling", sampling, "--model.engine", engine]
    whole, parts = stopped_between(fit, STOPS[stop], *more)
    assert parts["global_step"] == whole["global_step"] > 0
    assert same(parts["state_dict"], whole["state_dict"])


@pytest.mark.parametrize(
    ("limit", "save_every", "sampling"),
    [("limit 5", 5, "shuffled"), ("half", 4, "replacement"), ("overfit 3", 3, "shuffled")],
)
def test_after_a_kill_too(fit, monkeypatch, limit, save_every, sampling):
    """The last checkpoint of a killed run was saved on its way; here at the end of a pass."""
    more = [*LIMITS[limit].split(), "--data.sampling", sampling, "--trainer.max_steps", "20"]
    whole = fit("whole", *more)

    def killed(self, trainer, *args):
        if trainer.global_step > save_every:
            raise ValueError("killed")

    monkeypatch.setattr(commands.fit, "SAVE_EVERY_N_STEPS", save_every)
    monkeypatch.setattr(commands.fit, "SAVE_SECONDS", 0.0)
    with monkeypatch.context() as patch:
        patch.setattr(StopOnSignal, "on_train_batch_end", killed)
        with pytest.raises(AssertionError):
            fit("parts", *more)
    parts = fit("parts", *more, "--resume", "true")
    assert same(parts["state_dict"], whole["state_dict"])


AVERAGING = {
    "plain": "WeightAveraging",
    "exponential": "EMAWeightAveraging decay=0.9",
    "now and then": "EMAWeightAveraging decay=0.9 update_every_n_steps=3 update_starting_at_step=5",
}


@pytest.mark.parametrize(
    ("averaging", "stop"),
    [
        pytest.param(*case, marks=() if case == ("now and then", "inside a pass") else SLOW)
        for case in product(AVERAGING, STOPS)
    ],
)
def test_averaged_weights_too(fit, averaging, stop):
    name, *arguments = AVERAGING[averaging].split()
    more = [f"--trainer.callbacks+=lightning.pytorch.callbacks.{name}"]
    more += [f"--trainer.callbacks.{argument}" for argument in arguments]
    whole, parts = stopped_between(fit, STOPS[stop], *more)
    for state in ("state_dict", "current_model_state", "averaging_state"):
        assert same(parts[state], whole[state]), state


def test_what_best_ckpt_holds_is_what_was_validated(fit, tmp_path):
    """The averages: sampled, scored and validated alone, they have the loss of the training."""
    averaging = "--trainer.callbacks+=lightning.pytorch.callbacks.EMAWeightAveraging"
    more = [averaging, "--trainer.callbacks.decay=0.9", "--trainer.val_check_interval", "5"]
    fit("run", *more, "--trainer.max_steps", "18")
    entries = torch.load(tmp_path / "run" / "checkpoints" / "best.ckpt", weights_only=True)
    validated = entries["callbacks"]["Checkpoints"]["lowest"]
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["val_loss"] == pytest.approx(float(validated), rel=1e-6)
    assert not same(entries["current_model_state"], entries["state_dict"])


def test_accumulated_gradients_are_updates_of_equal_size(fit, tmp_path):
    """Of 8 minibatches a pass, 3 make an update: the last 2 of a pass are left out."""
    more = ["--trainer.accumulate_grad_batches", "3", "--trainer.val_check_interval", "5"]
    state = fit("run", *more, "--trainer.max_steps", "20", "--data.sampling", "shuffled")
    assert state["global_step"] == 20
    loops = state["loops"]["fit_loop"]
    assert loops["epoch_loop.batch_progress"]["total"]["completed"] == 60
    assert loops["epoch_progress"]["total"]["ready"] == 10  # passes of two updates


def test_a_pass_that_ends_inside_an_update_is_refused(fit, capsys):
    more = ["--trainer.accumulate_grad_batches", "4", "--trainer.limit_train_batches", "6"]
    with pytest.raises(AssertionError):
        fit("run", *more, "--trainer.max_steps", "20")
    assert "6 minibatches of a pass are no multiple of" in capsys.readouterr().err


def process(rank: int, *others: torch.Tensor) -> tuple[SimpleNamespace, ExactResume]:
    """A Trainer on one of several processes, and its callback; others have these states."""
    strategy = SimpleNamespace(
        root_device=torch.device("cpu"), all_gather=lambda state: torch.stack([state, *others])
    )
    trainer = SimpleNamespace(strategy=strategy, global_rank=rank, max_epochs=1)
    callback = ExactResume()
    torch.manual_seed(42)
    callback.setup(trainer, None, "fit")
    return trainer, callback


def dropout() -> tuple[float, ...]:
    return tuple(torch.nn.functional.dropout(torch.ones(50)).tolist())


def test_every_process_leaves_out_other_units():
    torch.manual_seed(42)
    masks = [dropout()]
    for rank in range(4):
        process(rank)
        masks.append(dropout())
    assert masks[0] == masks[1]  # the bits of a run of one process
    assert len({*masks}) == 4


@pytest.mark.parametrize("rank", range(3))
@pytest.mark.parametrize("processes", [1, 2])
def test_every_process_goes_on_with_its_own_random_state(rank, processes):
    torch.manual_seed(7)
    second, expected = torch.get_rng_state(), {1: dropout()}
    for new in (2,) if processes == 2 else (1, 2):  # was not there: from its seed
        process(new)
        expected[new] = dropout()
    _, callback = process(0, second)
    state = callback.state_dict()
    expected[0] = dropout()
    if processes == 1:  # as checkpoints of one process have it
        state["rng"] = [state["rng"][0][0]]
    trainer, callback = process(rank, second)
    loops = pl.Trainer(accelerator="cpu", logger=False).fit_loop.state_dict()
    saved = {KEY: {}, "global_step": 0, "callbacks": {callback.state_key: state}}
    saved["loops"] = {"fit_loop": loops}
    callback.on_load_checkpoint(trainer, None, saved)
    assert dropout() == expected[rank]

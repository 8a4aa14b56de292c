"""Which engine a run gets, and why."""

import lightning.pytorch as pl
import pytest

from lit_makemore.training.datamodule import NamesDataModule
from lit_makemore.training.engine import choose
from lit_makemore.training.module import LitMLP
from lit_makemore.training.native import build
from tests.training.test_eager import OneByOne
from tests.training.test_module import trainer


def choice(engine="auto", backward="autograd", before=None, **trainer_arguments):
    return choose(trainer(100, **trainer_arguments), engine, backward, before)


def test_auto_is_native_for_runs_of_any_length():
    found = choice()
    assert (found.engine, found.groups) == ("native", True)


@pytest.mark.parametrize("before", ["eager", "native"])
def test_a_resumed_run_keeps_its_engine(before):
    assert choice(before=before).engine == before


def test_eager_steps_are_taken_in_groups():
    found = choice("eager")
    assert (found.engine, found.groups) == ("eager", True)


@pytest.mark.parametrize(
    ("arguments", "groups", "reason"),
    [
        ({"backward": "manual"}, True, "--model.backward manual"),
        ({"detect_anomaly": True}, True, "--trainer.detect_anomaly"),
        ({"precision": "bf16-mixed"}, True, "--trainer.precision bf16-mixed"),
        ({"precision": "64-true"}, True, "--trainer.precision 64-true"),
        (
            {"gradient_clip_val": 1.0, "gradient_clip_algorithm": "value"},
            True,
            "--trainer.gradient_clip_algorithm value",
        ),
        ({"accumulate_grad_batches": 2}, False, "--trainer.accumulate_grad_batches"),
        ({"callbacks": [OneByOne()]}, False, "OneByOne"),
    ],
)
def test_what_excludes_native_steps_or_groups(arguments, groups, reason):
    found = choice(**arguments)
    assert (found.engine, found.groups) == ("eager", groups)
    assert reason in found.why
    with pytest.raises(ValueError, match="engine native is not possible: " + reason):
        choice("native", **arguments)


def test_without_a_library_steps_are_eager_and_the_reason_is_said(monkeypatch):
    def fails():
        raise build.BuildError("there is no C++ compiler; install g++")

    monkeypatch.setattr(build, "library", fails)
    found = choice()
    assert (found.engine, found.groups) == ("eager", True)
    assert "no native ones: there is no C++ compiler; install g++" in found.why
    with pytest.raises(ValueError, match=r"not possible: there is no C\+\+ compiler"):
        choice("native")


class OncePerGroup(pl.Callback):
    takes_groups = True

    def on_train_batch_end(self, *args) -> None:
        pass


def test_a_callback_may_say_that_it_takes_groups():
    assert choice(callbacks=[OncePerGroup()]).groups


def test_a_fit_has_the_engine_that_was_chosen(word_list):
    for engine in ("eager", "native"):
        data = NamesDataModule(str(word_list), batch_size=16)
        model = LitMLP(data.chars, 3, n_hidden=8, n_layer=1, engine=engine)
        trainer(2).fit(model, data)
        assert model.engine == engine

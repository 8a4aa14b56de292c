import pytest

from lit_makemore.diagnostics.advice import advice
from lit_makemore.diagnostics.verdicts import CHECKS

DEEP = {"batch_norm": True, "activation": "tanh", "gain": 5 / 3, "bn_gain": 1.0, "bn_bias": 0.0}
PLAIN = {**DEEP, "batch_norm": False}
ENDS = ("update_ratio_low", "update_ratio_high")


@pytest.mark.parametrize("options", [{}, DEEP, PLAIN, {"overfit_batches": 1}])
@pytest.mark.parametrize("check", [*sorted({*CHECKS} - {"update_ratio"}), *ENDS])
def test_there_is_advice_for_every_check(check, options):
    for step in (1, 100):
        said = advice(check, options, step)
        assert said
        assert " or  " not in said
        assert not said.startswith(" ")


@pytest.mark.parametrize("check", ["saturation", "dead", "depth", "gradient"])
def test_batch_norm_is_not_advised_where_it_is_on(check):
    for step in (1, 100):
        assert "model.batch_norm true" not in advice(check, DEEP, step)
        assert "model.batch_norm true" in advice(check, PLAIN, step)


def test_a_gain_that_batch_norm_cancels_is_not_advised():
    assert advice("saturation", DEEP, 100) == "a lower model.lr"
    assert "init.gain" in advice("saturation", PLAIN, 100)


def test_before_the_first_update_the_rate_is_not_to_blame():
    assert "model.lr" not in advice("saturation", PLAIN, 1)
    assert "model.lr" in advice("saturation", PLAIN, 100)


def test_a_gain_that_is_there_is_not_advised():
    assert "5/3" not in advice("depth", PLAIN)
    assert "5/3 for tanh" in advice("depth", {**PLAIN, "gain": 1.0})
    assert "√2 for ReLU" in advice("depth", {**PLAIN, "activation": "relu", "gain": 1.0})


def test_zero_weights_are_named():
    zeros = {**DEEP, "gain": 0, "logits_gain": 0}
    for check in ("depth", "gradient", "update_ratio_low"):
        expected = "a model.init.gain above 0 or a model.init.logits_gain above 0"
        assert advice(check, zeros) == expected
    assert advice("update_ratio_low", DEEP) == "a higher model.lr"


def test_clipping_and_precision_are_advised_where_they_could_help():
    assert advice("nan", {"precision": "bf16-mixed"}) == (
        "a lower model.lr, trainer.gradient_clip_val 1.0 or trainer.precision 32-true"
    )
    assert advice("nan", {"precision": "32-true", "gradient_clip_val": 1.0}) == "a lower model.lr"


def test_the_right_layer_is_made_smaller():
    assert "init.logits_gain" in advice("initial_loss", {})
    assert "init.logits_bn_gain" in advice("initial_loss", {"logits_batch_norm": True})


def test_of_one_minibatch_no_other_advice_would_help():
    for check in ("overfit", "baseline", "memorised"):
        assert advice(check, {"overfit_batches": 1}).startswith("trainer.overfit_batches 0")


def test_dropout_is_advised_once():
    assert "dropout" in advice("overfit", {"dropout": 0.0})
    assert "dropout" not in advice("overfit", {"dropout": 0.2})

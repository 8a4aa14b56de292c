from math import inf, log, nan

import pytest

from lit_makemore.diagnostics.verdicts import CHECKS, Bands, judge

UNIFORM = log(27)
HEALTHY = {
    "loss": 3.3,
    "activation_std/02": 0.64,
    "activation_std/05": 0.63,
    "activation_saturated/02": 3.7,
    "activation_dead/02": 0.0,
    "gradient_std/02": 1e-3,
    "gradient_std/05": 2e-3,
    "update_ratio/embedding": -9.0,  # not judged: an embedding
    "update_ratio/00": -2.5,
    "update_ratio/15": -0.6,  # not judged: the logits'
    "update_ratio/guide": -3.0,
    "batch_norm_drift/01": 0.5,
    "held_out/train": 2.0,
    "held_out/val": 2.1,
    "held_out/lowest": 2.1,
    "held_out/lowest_step": 100.0,
}


def bad(step=1, **arguments) -> list[str]:
    changed = arguments.pop("changed", {})
    verdicts = judge({**HEALTHY, **changed}, step, Bands(), UNIFORM, ["00"], **arguments)
    return [verdict.check for verdict in verdicts if not verdict.healthy]


def test_healthy_figures_are_healthy_at_any_step():
    assert bad(1) == bad(50) == bad(1000) == bad(10**6) == []


@pytest.mark.parametrize(
    ("changed", "step", "check"),
    [
        ({"loss": 4.8}, 1, "initial_loss"),
        ({"loss": 5.0}, 100, "loss"),
        ({"activation_saturated/02": 40.0}, 500, "saturation"),
        ({"activation_dead/02": 30.0}, 500, "dead"),
        ({"activation_std/05": 0.3}, 1, "depth"),
        ({"gradient_std/05": 0.1}, 1, "gradient"),
        ({"update_ratio/00": -5.2}, 300, "update_ratio"),
        ({"update_ratio/00": -1.0}, 300, "update_ratio"),
        ({"batch_norm_drift/01": 3.0}, 300, "batch_norm"),
        ({"held_out/val": 2.6, "held_out/train": 0.5}, 300, "overfit"),
        # zero is the worst value, not a missing one
        ({"activation_std/02": 0.0, "activation_std/05": 0.0}, 1, "depth"),
        ({"gradient_std/02": 0.0}, 1, "gradient"),
        ({"gradient_std/02": 0.0, "gradient_std/05": 0.0}, 10, "gradient"),
        ({"update_ratio/00": -inf}, 1, "update_ratio"),
    ],
)
def test_a_figure_out_of_its_band_is_named(changed, step, check):
    assert bad(step, changed=changed) == [check]


def test_saturation_late_in_a_run_is_no_fault():
    assert bad(2000, changed={"activation_saturated/02": 40.0}) == []
    assert bad(50, changed={"activation_saturated/02": 40.0}, early=42) == []


def test_small_updates_after_the_rate_fell_are_no_fault():
    assert bad(300, changed={"update_ratio/00": -7.0}, full_rate=False) == []


def test_a_minibatch_that_is_learnt_leaves_nothing_to_update():
    changed = {"update_ratio/00": -5.2, "loss": 0.26}
    assert bad(300, changed=changed) == []
    assert bad(300, changed={**changed, "loss": 2.0}) == ["update_ratio"]


def test_a_last_layer_of_zeros_is_judged_after_its_first_update():
    changed = {"gradient_std/02": 0.0, "gradient_std/05": 0.0, "update_ratio/00": -inf}
    assert bad(1, changed=changed) == []
    assert set(bad(10, changed=changed)) == {"gradient", "update_ratio"}


def test_a_val_loss_that_explodes_with_the_train_loss_is_not_overfitting():
    assert bad(300, changed={"held_out/val": 20.0, "held_out/train": 19.0}) == []


def test_what_is_not_finite_is_left_to_the_check_for_that():
    assert bad(1, changed=dict.fromkeys(HEALTHY, nan)) == []
    assert bad(60, changed=dict.fromkeys(HEALTHY, inf)) == []


def test_bands_can_be_changed():
    values = {"activation_saturated/02": 40.0}
    assert next(judge(values, 1, Bands(saturation=50.0), UNIFORM)).healthy


def test_verdicts_say_where_how_much_and_what_to_try():
    (verdict,) = judge({"activation_saturated/05": 39.5}, 1, Bands(), UNIFORM)
    assert verdict.text == "05: 39.50 % of the values are saturated (healthy: at most 30 %)"
    assert "batch_norm" in verdict.advice
    assert verdict.check in CHECKS


def test_the_texts_are_sentences():
    verdicts = {v.check: v.text for v in judge(HEALTHY, 1, Bands(), UNIFORM, ["00"])}
    verdicts |= {v.check: v.text for v in judge(HEALTHY, 100, Bands(), UNIFORM, ["00"])}
    assert verdicts == {
        "initial_loss": "loss 3.30 (healthy: at most 4.10)",
        "loss": "loss 3.30 (healthy: at most 4.30)",
        "saturation": "02: 3.70 % of the values are saturated (healthy: at most 30 %)",
        "dead": "02: 0.00 % of the units are dead (healthy: at most 25 %)",
        "depth": "the weakest layer (05) keeps 98 % of the strongest layer's spread "
        "(healthy: 70 % or more)",
        "gradient": "the strongest gradient (05) is 2.00 times the weakest "
        "(healthy: at most 20 times)",
        "update_ratio": "an update is 10^-2.5 times the size of 00 (healthy: 10^-4.0 to 10^-1.5)",
        "batch_norm": "batch mean is 0.50 standard deviations from the running mean of 01 "
        "(healthy: below 1)",
        "overfit": "val 2.10 is 0.00 above its lowest, 2.10 at update 100; train 2.00 is 0.10 "
        "below that (healthy: one of the two at most 0.2)",
    }


def test_a_loss_without_a_known_vocabulary_is_not_judged():
    assert list(judge({"loss": 99.0}, 1, Bands(), None)) == []

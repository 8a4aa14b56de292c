import re
from math import inf, log, nan

import lightning.pytorch as pl
import pytest

from lit_makemore.diagnostics.checks import CHECKS, Health, Seen, Verdict, judge, options_of
from lit_makemore.diagnostics.settings import Bands
from lit_makemore.diagnostics.words import Known
from lit_makemore.runs.tables import displayed_width
from lit_makemore.training.datamodule import NamesDataModule
from tests.conftest import WORDS

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


def verdicts(step=1, changed={}, **arguments) -> list[Verdict]:  # noqa: B006
    known = {"figures": {**HEALTHY, **changed}, "uniform": UNIFORM, "hidden": ["00"], **arguments}
    return judge(Seen(step, **known))


def bad(*args, **arguments) -> list[str]:
    return [verdict.check for verdict in verdicts(*args, **arguments) if not verdict.healthy]


LEARNT = {"update_ratio/00": -5.2, "loss": 0.26}
ZEROS = {"gradient_std/02": 0.0, "gradient_std/05": 0.0, "update_ratio/00": -inf}


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
        (ZEROS, 10, "gradient update_ratio"),
        ({**LEARNT, "loss": 2.0}, 300, "update_ratio"),  # not learnt after all
    ],
)
def test_a_figure_out_of_its_band_is_named(changed, step, check):
    assert bad(step, changed=changed) == check.split()


@pytest.mark.parametrize(
    ("changed", "step", "arguments"),
    [
        *(({}, step, {}) for step in (1, 50, 1000, 10**6)),
        ({"activation_saturated/02": 40.0}, 2000, {}),  # late in a run
        ({"activation_saturated/02": 40.0}, 50, {"early": 42}),
        ({"activation_saturated/02": 40.0}, 1, {"bands": Bands(saturation=50.0)}),
        ({"update_ratio/00": -7.0}, 300, {"full_rate": False}),
        (LEARNT, 300, {}),  # a minibatch that is learnt leaves nothing to update
        (ZEROS, 1, {}),  # a last layer of zeros is judged after its first update
        ({"held_out/val": 20.0, "held_out/train": 19.0}, 300, {}),  # it explodes: no overfitting
        # what is not finite is left to the check for that
        (dict.fromkeys(HEALTHY, nan), 1, {}),
        (dict.fromkeys(HEALTHY, inf), 60, {}),
    ],
)
def test_no_fault(changed, step, arguments):
    assert bad(step, changed, **arguments) == []


def test_the_texts_are_sentences():
    found = {v.check: v.text for step in (1, 100) for v in verdicts(step)}
    assert found == {
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
        "overfit": "network alone, on some words: val 2.10, lowest 2.10 at update 100, train 2.00 "
        "(healthy: val at most 0.2 above its lowest, or train at most 0.2 below that)",
    }


def test_what_holds_a_nan_is_named():
    (bad,), (good,) = (judge(Seen(7, nonfinite=names)) for names in (list("abcdef"), []))
    assert bad[:4] == ("nan", 7, False, "not finite: a, b, c, d and 2 more")
    assert good[:4] == ("nan", 7, True, "all numbers are finite")


COUNTS = {"uniform": 3.30, "unigram": 2.82, "bigram": 2.45, "kneser_ney": 2.06}
EQUAL = {"unigram": 3.29, "bigram": 3.29, "kneser_ney": 3.31}  # the characters have no order


@pytest.mark.parametrize(
    ("val", "counts", "healthy", "mixed"),
    [
        (2.5, {}, True, False),
        (2.5, {}, True, True),
        (2.8195, {}, False, True),  # it must beat the counts of single characters
        (4.63, {}, False, False),
        (nan, {}, False, False),
        (3.29, EQUAL, True, False),  # guessing is the limit
        (3.40, EQUAL, False, False),
    ],
)
def test_val_is_compared_with_counting(val, counts, healthy, mixed):
    seen = Seen(1000, val=val, counts={**COUNTS, **counts}, options={"count_mixture": mixed})
    (verdict,) = judge(seen)
    assert (verdict.check, verdict.healthy) == ("baseline", healthy)
    assert verdict.text.startswith(f"{'val of the mixture' if mixed else 'val'} {val:.2f}, ")


def test_samples_that_are_training_words_are_memorised_unless_that_is_natural():
    for train, natural, healthy in ((0.875, 0.02, False), (0.875, 0.80, True), (0.25, 0.19, True)):
        (verdict,) = judge(Seen(1000, known=Known(200, train, natural)))
        assert (verdict.check, verdict.healthy) == ("memorised", healthy)


DEEP = {"norm": "batch", "activation": "tanh", "gain": 5 / 3, "bn_gain": 1.0, "bn_bias": 0.0}
PLAIN = {**DEEP, "norm": "none"}
SICK = {
    "loss": 99.0,
    "activation_std/1": 0.1,
    "activation_std/2": 1.0,
    "activation_saturated/1": 99.0,
    "activation_dead/1": 99.0,
    "gradient_std/1": 1.0,
    "gradient_std/2": 0.001,
    "batch_norm_drift/1": 9.0,
    "held_out/train": 0.0,
    "held_out/val": 9.0,
    "held_out/lowest": 2.0,
    "held_out/lowest_step": 3.0,
    "update_ratio/1": 0.0,
}


def advice(options, step=1, ratio=0.0) -> dict[str, str]:
    """What is advised to a network that fails all its checks."""
    seen = {"uniform": 3.0, "hidden": ["1"], "nonfinite": ["a"], "val": 9.0, "counts": COUNTS}
    seen |= {"figures": {**SICK, "update_ratio/1": ratio}, "known": Known(200, 1.0, 0.0)}
    found = judge(Seen(step, options=options, **seen))
    assert not any(verdict.healthy for verdict in found)
    return {verdict.check: verdict.advice for verdict in found}


@pytest.mark.parametrize("options", [{}, DEEP, PLAIN, {"overfit_batches": 1}])
def test_there_is_advice_for_every_check(options):
    for ratio in (-9.0, 0.0):
        found = advice(options, 1, ratio) | advice(options, 100, ratio)
        assert found.keys() == CHECKS.keys()
        assert all(part.strip() for said in found.values() for part in re.split(", | or ", said))


BN = "model.norm batch"


@pytest.mark.parametrize(
    ("options", "step", "checks", "words", "is_said"),
    [
        ({"words": 20_000}, 100, "overfit memorised", "a longer list", True),
        ({"words": 348_454}, 100, "overfit memorised", "a longer list", False),
        *((DEEP, step, "saturation dead", BN, False) for step in (1, 100)),
        *((PLAIN, step, "saturation dead", BN, True) for step in (1, 100)),
        (DEEP, 1, "depth gradient", BN, False),
        (PLAIN, 1, "depth gradient", BN, True),
        (PLAIN, 100, "saturation", "init.gain", True),
        (PLAIN, 1, "saturation", "model.lr", False),  # before the first update
        (PLAIN, 100, "saturation", "model.lr", True),
        (PLAIN, 1, "depth", "5/3", False),  # it has that gain
        ({**PLAIN, "gain": 1.0}, 1, "depth", "5/3 for tanh", True),
        ({**PLAIN, "activation": "relu", "gain": 1.0}, 1, "depth", "√2 for ReLU", True),
        ({}, 1, "initial_loss", "init.logits_gain", True),
        ({"logits_batch_norm": True}, 1, "initial_loss", "init.logits_bn_gain", True),
        ({"overfit_batches": 1}, 100, "overfit baseline memorised", "overfit_batches 0", True),
        ({"dropout": 0.0}, 100, "overfit", "dropout", True),
        ({"dropout": 0.2}, 100, "overfit", "dropout", False),
    ],
)
def test_what_is_advised_depends_on_the_options(options, step, checks, words, is_said):
    for check in checks.split():
        assert (words in advice(options, step)[check]) is is_said


def test_the_options_say_how_long_the_list_is(word_list):
    trainer = pl.Trainer(max_steps=0, logger=False, enable_checkpointing=False)
    assert options_of(trainer, pl.LightningModule())["words"] == 0
    trainer.datamodule = NamesDataModule(str(word_list))
    assert options_of(trainer, pl.LightningModule())["words"] == len(WORDS)


LOWER = "a lower model.lr"
GAIN = "a model.init.gain above 0 or a model.init.logits_gain above 0"
ZERO = {**DEEP, "gain": 0, "logits_gain": 0}
CLIP = ", trainer.gradient_clip_val 1.0 or trainer.precision 32-true"


@pytest.mark.parametrize(
    ("options", "step", "ratio", "checks", "expected"),
    [
        (DEEP, 100, 0.0, "saturation", LOWER),  # BatchNorm cancels the gain
        (ZERO, 1, -9.0, "depth gradient update_ratio", GAIN),
        ({**PLAIN, "bn_gain": 0.0}, 1, 0.0, "depth gradient", BN),  # it has no such gain
        (DEEP, 1, -9.0, "update_ratio", "a higher model.lr"),
        (DEEP, 1, 0.0, "update_ratio", LOWER),
        ({"precision": "bf16-mixed"}, 1, 0.0, "nan", LOWER + CLIP),
        ({"precision": "32-true", "gradient_clip_val": 1.0}, 1, 0.0, "nan", LOWER),
    ],
)
def test_advice_in_full(options, step, ratio, checks, expected):
    for check in checks.split():
        assert advice(options, step, ratio)[check] == expected


def test_the_table_is_100_columns_wide_at_most():
    kept = Health()
    text = "layer." * 40 + " is 3 times as strong as " + "x" * 90
    kept.add(Verdict(check, 12_345, False, text, text) for check in CHECKS)
    assert max(map(displayed_width, kept.table().split("\n"))) <= 100
    assert kept.failed == list(CHECKS)


def test_the_first_failure_is_kept():
    before = Health()
    assert before.add([Verdict("loss", 3, True, "fine")]) == []
    assert before.add([Verdict("loss", 7, False, "high", "a")]) == ["loss at update 7: high; try a"]
    assert before.add([Verdict("loss", 9, False, "higher")]) == []
    assert before.summary()["loss"] == "update 7: high"


def test_it_says_what_a_check_needs():
    """A loss without a known vocabulary is not judged."""
    assert judge(Seen(1, figures={"loss": 99.0})) == []
    when = "n/a: is judged from update 50 on, of a module with a vocab and a method loss(batch)"
    assert Health().summary()["loss"] == when

from lit_makemore.diagnostics.outcome import Known, judge_baseline, judge_memorised
from lit_makemore.diagnostics.verdicts import Bands

COUNTS = {"uniform": 3.30, "unigram": 2.82, "bigram": 2.45, "kneser_ney": 2.06}


def baseline(val: float, **counts: float) -> bool | None:
    return judge_baseline(val, {**COUNTS, **counts}, Bands()).healthy


def test_a_network_must_beat_the_counts_of_single_characters():
    assert baseline(2.5)
    assert not baseline(2.8195)
    assert not baseline(4.63)
    assert not baseline(float("nan"))


def test_where_characters_have_no_order_guessing_is_the_limit():
    assert baseline(3.29, unigram=3.29, bigram=3.29, kneser_ney=3.31)
    assert not baseline(3.40, unigram=3.29, bigram=3.29, kneser_ney=3.31)


def test_samples_that_are_training_words_are_memorised_unless_that_is_natural():
    assert not judge_memorised(Known(200, 0.875, 0.02), Bands()).healthy
    assert judge_memorised(Known(200, 0.875, 0.80), Bands()).healthy
    assert judge_memorised(Known(200, 0.25, 0.19), Bands()).healthy
    assert judge_memorised(Known(200, 0.875, 0.02), Bands(memorised=90)).healthy


def test_the_text_says_how_many_and_how_many_would_be_natural():
    text = judge_memorised(Known(200, 0.875, 0.02), Bands()).text
    assert text == (
        "88 % of 200 samples are training words; natural for this list: 2 % "
        "(healthy: at most 25 % more)"
    )

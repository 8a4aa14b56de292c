import pytest

from lit_makemore.sampling.conditions import Condition
from lit_makemore.words.vocab import Vocabulary

LETTERS = Vocabulary("abcdefghijklmnopqrstuvwxyz")


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"min_length": -1}, "--min_length must be at least 0, not -1"),
        ({"max_length": 0}, "--max_length must be at least 1, not 0"),
        ({"min_length": 5, "max_length": 4}, "--max_length must be at least 5, not 4"),
        ({"prefix": "emma", "max_length": 3}, "--max_length must be at least 4, not 3"),
        ({"prefix": "ab", "suffix": "bc", "max_length": 2}, "at least 3, not 2"),
        ({"prefix": "b", "pattern": "a*"}, "no word fits --prefix 'b' and --pattern 'a\\*'"),
        ({"suffix": "é"}, "the suffix contains 'é'"),
        ({"pattern": "?é"}, "the pattern contains 'é'"),
        ({"pattern": "\\?"}, "the pattern contains '\\?'"),
        ({"pattern": "Ma?"}, "use --pattern ma\\?, not Ma\\?"),
        ({"suffix": "Ia"}, "use --suffix ia, not Ia"),
    ],
)
def test_what_no_word_can_fit_is_one_line(options, line):
    with pytest.raises(ValueError, match=line):
        Condition(**options).automaton(LETTERS)


def test_begin_end_and_pattern_all_count():
    automaton = Condition("a", "b", "??c*").automaton(LETTERS)
    fitting = [w for w in ("aacb", "axcxxb", "acb", "bacb", "aacc") if automaton.fits(w)]
    assert fitting == ["aacb", "axcxxb"]


def test_letters_are_composed_as_those_of_the_training_words():
    vocab = Vocabulary("eé")
    assert Condition(prefix="e\u0301").automaton(vocab).fits("ée")
    assert Condition(pattern="e\u0301?").automaton(vocab).fits("ée")


def test_a_star_of_the_vocabulary_is_meant_literally_by_a_prefix():
    automaton = Condition(prefix="*").automaton(Vocabulary("*a"))
    assert automaton.fits("*a")
    assert not automaton.fits("aa")

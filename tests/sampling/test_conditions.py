from fnmatch import fnmatchcase
from itertools import product
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lit_makemore.sampling.conditions import Automaton, Condition, parse
from lit_makemore.words.vocab import Vocabulary


def reader(*patterns: str, chars: str = "abc") -> Automaton:
    return Automaton([parse(pattern) for pattern in patterns], chars)


PATTERNS = st.text("ab?*", max_size=6)
WORDS = ["".join(letters) for n in range(7) for letters in product("abc", repeat=n)]


@given(st.lists(PATTERNS, min_size=1, max_size=2))
def test_it_fits_what_the_shell_fits(patterns):
    automaton = reader(*patterns)
    for word in WORDS[:364]:  # of up to five letters
        assert automaton.fits(word) == all(fnmatchcase(word, pattern) for pattern in patterns)


@given(st.text("ab", max_size=3), PATTERNS)
def test_it_knows_how_many_characters_are_missing(begun, pattern):
    automaton = reader(pattern)
    longest = 6 - len(begun)
    rest = [w for w in WORDS if len(w) <= longest and fnmatchcase(begun + w, pattern)]
    state: int | None = 0
    for c in begun:
        state = None if state is None else automaton.moves[state].get(c)
    missing = inf if state is None else automaton.missing[state]
    expected = min(map(len, rest), default=inf)
    # A name of more than six characters is not among the words
    assert missing == expected or (expected == inf and missing > longest)


@given(st.text("a?*\\", max_size=5), st.text("a?*\\", max_size=5))
def test_a_quoted_text_fits_itself_only(text, other):
    quoted = "".join(f"\\{c}" if c in "?*\\" else c for c in text)
    assert reader(quoted, chars="a?*\\").fits(other) == (text == other)


@pytest.mark.parametrize(
    ("options", "begin"),
    [({"pattern": "ab?"}, "ab"), ({"prefix": "ab", "pattern": "a*c"}, "ab"), ({"suffix": "b"}, "")],
)
def test_the_characters_that_every_word_begins_with(options, begin):
    assert Condition(**options).begins_with() == begin


@pytest.mark.parametrize("pattern", ["*a" + 20 * "?", 500 * "*a", 500 * "?*"])
def test_too_many_stars_are_an_error_and_not_an_hour(pattern):
    with pytest.raises(ValueError, match="too many"):
        reader(pattern, chars="ab")


@pytest.mark.parametrize("part", ["prefix", "suffix", "pattern"])
def test_what_is_longer_than_a_word_is_refused(part):
    with pytest.raises(ValueError, match=f"^{part} has more characters than a word: 1,000"):
        Condition(**{part: 1001 * "a"})


LETTERS = Vocabulary(" abcdefghijklmnopqrstuvwxyz")


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"min_length": 0}, "^min_length must be at least 1, not 0"),
        ({"max_length": 0}, "^max_length must be at least 1, not 0"),
        ({"min_length": 5, "max_length": 4}, "^max_length must be at least 5, not 4"),
        ({"prefix": "emma", "max_length": 3}, "^max_length must be at least 4, not 3"),
        ({"prefix": "ab", "suffix": "bc", "max_length": 2}, "at least 3, not 2"),
        ({"prefix": "b", "pattern": "a*"}, "no name fits prefix 'b' and pattern 'a\\*'"),
        ({"prefix": " a"}, "no name fits prefix ' a'; leave .* white space"),
        ({"suffix": "a "}, "no name fits suffix 'a '"),
        ({"pattern": "* "}, "no name fits pattern '\\* '"),
        ({"prefix": "a ", "max_length": 2}, "max_length must be at least 3, not 2"),
        ({"suffix": "é"}, "the suffix contains 'é'"),
        ({"pattern": "?é"}, "the pattern contains 'é'"),
        ({"pattern": "\\?"}, "the pattern contains '\\?'"),
        ({"pattern": "Ma?"}, "the pattern contains 'M'"),
    ],
)
def test_what_no_word_can_fit_is_one_line(options, line):
    with pytest.raises(ValueError, match=line):
        Condition(**options).automaton(LETTERS)


@pytest.mark.parametrize(
    ("condition", "chars", "fitting", "others"),
    [
        (Condition("a", "b", "??c*"), LETTERS.chars, ["aacb", "axcxxb"], ["acb", "bacb", "aacc"]),
        (Condition(prefix="e\u0301"), "eé", ["ée"], ["ee"]),  # composed as the training words are
        (Condition(pattern="e\u0301?"), "eé", ["ée"], ["ee"]),
        (Condition(prefix="*"), "*a", ["*a"], ["aa"]),  # meant literally by a prefix
        (Condition(), " a", ["a", "a a", "aaa"], ["", " ", " a", "a ", "a a "]),
        (Condition("a "), " a", ["a a", "a  a"], ["a ", "a  "]),
    ],
)
def test_begin_end_and_pattern_all_count(condition, chars, fitting, others):
    automaton = condition.automaton(Vocabulary(chars))
    assert [word for word in [*fitting, *others] if automaton.fits(word)] == fitting

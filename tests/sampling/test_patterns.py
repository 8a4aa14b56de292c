from fnmatch import fnmatchcase
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lit_makemore.sampling.patterns import Automaton, quoted

PATTERNS = st.text("ab?*", max_size=6)
WORDS = ["".join(letters) for n in range(7) for letters in product("abc", repeat=n)]


@given(st.lists(PATTERNS, min_size=1, max_size=2))
def test_it_fits_what_the_shell_fits(patterns):
    automaton = Automaton(patterns, "abc")
    for word in WORDS[:364]:  # of up to five letters
        assert automaton.fits(word) == all(fnmatchcase(word, pattern) for pattern in patterns)


@given(st.text("ab", max_size=3), PATTERNS)
def test_it_knows_how_many_characters_are_missing(begun, pattern):
    automaton = Automaton([pattern], "abc")
    longest = 6 - len(begun)
    rest = [w for w in WORDS if len(w) <= longest and fnmatchcase(begun + w, pattern)]
    state: int | None = 0
    for c in begun:
        state = None if state is None else automaton.step(state, c)
    missing = None if state is None else automaton.missing[state]
    expected = min(map(len, rest), default=None)
    # A name of more than six characters is not among the words
    assert missing == expected or (expected is None and missing is not None and missing > longest)


@given(st.text("a?*\\", max_size=5), st.text("a?*\\", max_size=5))
def test_a_quoted_text_fits_itself_only(text, other):
    assert Automaton([quoted(text)], "a?*\\").fits(other) == (text == other)


@pytest.mark.parametrize(
    ("patterns", "forced"),
    [(["ab?"], "ab"), (["ab*", "a*c"], "ab"), (["*b"], ""), (["ab"], "ab"), (["?", "*c"], "c")],
)
def test_the_characters_that_every_word_begins_with(patterns, forced):
    assert Automaton(patterns, "abc").forced("abc") == forced


def test_patterns_that_exclude_each_other_have_no_word():
    assert Automaton(["a*", "b?"], "abc").missing[0] is None
    assert Automaton(["?"], "abc").missing[0] == 1


def test_a_backslash_at_the_end_is_an_error():
    with pytest.raises(ValueError, match="ends with a single"):
        Automaton(["ab\\"], "ab")


def test_too_many_stars_are_an_error_and_not_an_hour():
    with pytest.raises(ValueError, match="too many"):
        Automaton(["*a" + 20 * "?"], "ab")

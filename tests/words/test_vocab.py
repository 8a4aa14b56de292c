import pytest

from lit_makemore.words.vocab import END, Vocabulary, difference


def test_the_end_mark_is_zero_and_characters_follow_sorted():
    vocab = Vocabulary("abé")
    assert vocab.stoi == {END: 0, "a": 1, "b": 2, "é": 3}
    assert len(vocab) == 4
    assert vocab.encode("éba") == [3, 2, 1]
    assert vocab.decode([3, 2, 1]) == "éba"


@pytest.mark.parametrize(("chars", "end"), [("ab", "."), (".ab", "end")])
def test_the_end_mark_is_shown_as_no_character_of_the_list(chars, end):
    assert Vocabulary(chars).labels == [end, *chars]


def test_an_unknown_character_is_named():
    message = "the prefix contains 'ö', which never occurs in the training words; use only 'j' 'n'"
    with pytest.raises(ValueError, match=message):
        Vocabulary("jnor").encode("jörn", "the prefix")


HIDDEN = ["\na", "\ra", "\x1b[a", "\0a", "a\x9b", "a\u2028", "a\u202e", "a\ud800"]
MANY = "".join(map(chr, range(0x4E00, 0x4E00 + 10_001)))


@pytest.mark.parametrize("chars", ["ba", "aa", *HIDDEN, MANY])
def test_characters_must_be_sorted_distinct_visible_and_few(chars):
    with pytest.raises(ValueError, match="sorted"):
        Vocabulary(chars)


def test_the_difference_of_two_vocabularies_lists_both_sides():
    assert difference("abc", "bcd") == "only the checkpoint has 'a'; only the word list has 'd'"
    assert difference("abc", "abc") == ""

"""What is no text is refused in one place, with words."""

import pytest

from distilbert.tokenization.text import check_text


@pytest.mark.parametrize("text", ["", "plain", "naïve", "\U0010ffff\x00\ufffd"])
def test_text_passes(text):
    assert check_text(text) is text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ab\ud800c", r"U\+D800, at position 2.*errors='replace'"),
        ("é\udfff", r"U\+DFFF, at position 1"),
        ("\ud83d\ude00", r"U\+D83D, at position 0"),
    ],
)
def test_a_lone_surrogate_is_an_error(text, message):
    with pytest.raises(ValueError, match=message) as caught:
        check_text(text)
    assert type(caught.value) is ValueError


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "not NoneType: None"),
        (b"bytes", "not bytes: b'bytes'"),
        (3.5, "not float: 3.5"),
        (["a" * 1000], "not list: .{80}…$"),
    ],
)
def test_what_is_no_string_is_an_error(text, message):
    with pytest.raises(TypeError, match=message):
        check_text(text)

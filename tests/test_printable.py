"""Texts of files, as they are shown."""

import pytest

from distilbert.printable import printable


@pytest.mark.parametrize(
    "text", ["می\u200cخواهم", "👩\u200d💻", "a\u00a0b\u3000c", "soft\u00adhyphen"]
)
def test_what_people_write_stays(text):
    assert printable(text) == text


@pytest.mark.parametrize(
    "char", ["\x1b", "\n", "\r", "\x9b", "\u2028", "\u202e", "\u2066", "\ud800"]
)
def test_what_a_terminal_would_obey_is_escaped(char):
    assert printable(f"a{char}b") == f"a{char.encode('unicode_escape').decode()}b"

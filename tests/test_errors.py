"""Errors that are said again with more words."""

import json

import pytest

from distilbert.errors import reworded


def bad_utf8():
    return b"\xff".decode("utf-8")


def lone_surrogate():
    return "\ud83d".encode()


@pytest.mark.parametrize(
    ("cause", "kind"),
    [
        (lambda: int(None), TypeError),
        (lambda: int("a"), ValueError),
        (lambda: json.loads("{"), ValueError),
        (bad_utf8, ValueError),
        (lone_surrogate, ValueError),
    ],
)
def test_of_the_same_kind(cause, kind):
    with pytest.raises(kind) as caught:
        cause()
    again = reworded(caught.value, "line 3: it is wrong")
    assert type(again) is kind
    assert str(again) == "line 3: it is wrong"

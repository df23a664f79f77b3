"""Text of a file, as a terminal may show it."""

import unicodedata

# They turn around what stands beside them.
_DIRECTIONS = {
    *"\u061c\u200e\u200f",
    *map(chr, range(0x202A, 0x202F)),
    *map(chr, range(0x2066, 0x206A)),
}


def printable(text: str) -> str:
    r"""Return a text in which lines and orders to a terminal are escaped.

    >>> print(printable("café\x1b[2J\nsecond line"))
    café\x1b[2J\nsecond line
    """
    if text.isprintable():
        return text
    return "".join(c if _is_letter(c) else c.encode("unicode_escape").decode() for c in text)


def _is_letter(c: str) -> bool:
    """Whether this can be seen, joins or parts letters, or is a space."""
    joins = unicodedata.category(c) in ("Cf", "Zs") and c not in _DIRECTIONS
    return c.isprintable() or joins

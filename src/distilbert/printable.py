"""Text of a file, as a terminal may show it."""


def printable(text: str) -> str:
    r"""Return a text in which all that cannot be seen is escaped: lines, orders to a terminal.

    >>> print(printable("café\x1b[2J\nsecond line"))
    café\x1b[2J\nsecond line
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)

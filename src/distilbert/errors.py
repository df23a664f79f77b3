"""An error said again, with more words."""


def reworded(error: TypeError | ValueError, message: str) -> TypeError | ValueError:
    """Return an error of the same kind with another message.

    A kind below these two may be made of other arguments, as UnicodeEncodeError is.

    >>> reworded(ValueError("too long"), "line 3: too long")
    ValueError('line 3: too long')
    """
    return TypeError(message) if isinstance(error, TypeError) else ValueError(message)

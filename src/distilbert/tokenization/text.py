"""The one gate every text passes before either engine sees it."""


def check_text(text: object) -> str:
    """Return `text` if an engine can cut it.

    Raises:
        TypeError: It is not a string.
        ValueError: It holds a lone surrogate, which stands for no character.

    >>> check_text("naïve")
    'naïve'
    """
    if not isinstance(text, str):
        shown = repr(text)
        if len(shown) > 80:
            shown = f"{shown[:80]}…"
        raise TypeError(f"a text must be a str, not {type(text).__name__}: {shown}")
    if text.isascii():
        return text
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise ValueError(
            f"the text has a lone surrogate, U+{ord(text[error.start]):04X}, at position "
            f"{error.start}: it stands for no character and no tokenizer can encode it. Decode "
            "the bytes with errors='replace', or remove it with "
            "text.encode('utf-8', 'ignore').decode('utf-8')"
        ) from None
    return text

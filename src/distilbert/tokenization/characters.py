"""Reading the Unicode tables: classes of characters for `re`, and what characters turn into."""

from functools import cache

from distilbert.tokenization import unicode_tables

# Hangul syllables are decomposed by arithmetic (The Unicode Standard, section 3.12).
_SYLLABLES = range(0xAC00, 0xD7A4)
_LEADS, _VOWELS, _TAILS = 0x1100, 0x1161, 0x11A7
_VOWEL_COUNT, _TAIL_COUNT = 21, 28


def _span(text: str) -> tuple[int, int]:
    first, _, last = text.partition("-")
    return int(first, 16), int(last or first, 16)


def _characters(text: str) -> str:
    return "".join(chr(int(code, 16)) for code in text.split("+"))


def _character_class(table: str) -> str:
    return "".join(rf"\U{first:08x}-\U{last:08x}" for first, last in map(_span, table.split()))


# Each goes between the brackets of a regular expression's character class.
REMOVED = _character_class(unicode_tables.REMOVED)
WHITESPACE = _character_class(unicode_tables.WHITESPACE)
CHINESE = _character_class(unicode_tables.CHINESE)
PUNCTUATION = _character_class(unicode_tables.PUNCTUATION)

# The characters of WHITESPACE themselves, for `str.strip`.
SPACES = "".join(
    chr(code)
    for first, last in map(_span, unicode_tables.WHITESPACE.split())
    for code in range(first, last + 1)
)


@cache
def word_class() -> str:
    r"""Return what Rust's `\\w` matches: what an added token of a single word may not touch."""
    return _character_class(unicode_tables.WORD)


@cache
def accents() -> frozenset[str]:
    """Return the non-spacing marks that stripping accents removes."""
    spans = map(_span, unicode_tables.ACCENTS.split())
    return frozenset(chr(code) for first, last in spans for code in range(first, last + 1))


@cache
def combining_order() -> dict[str, int]:
    """Return the rank of each mark that canonical ordering moves; marks are sorted by rank."""
    order: dict[str, int] = {}
    for entry in unicode_tables.COMBINING_ORDER.split():
        span, _, rank = entry.partition(":")
        first, last = _span(span)
        order.update((chr(code), int(rank)) for code in range(first, last + 1))
    return order


@cache
def lower_case() -> dict[str, str]:
    """Return each character that has a lower case, with it; no context, so sigma stays medial."""
    images = {}
    for entry in unicode_tables.LOWER_CASE.split():
        span, _, image = entry.partition(":")
        span, _, step = span.partition("/")
        first, last = _span(span)
        if first == last:
            images[chr(first)] = _characters(image)
            continue
        shift = int(image, 16) - first
        for code in range(first, last + 1, int(step or 1)):
            images[chr(code)] = chr(code + shift)
    return images


@cache
def decompositions() -> dict[str, str]:
    """Return each character that decomposes canonically, Hangul syllables apart."""
    entries = (entry.partition(":") for entry in unicode_tables.DECOMPOSITION.split())
    return {_characters(before): _characters(after) for before, _, after in entries}


def decompose(character: str) -> str:
    """Return a character's full canonical decomposition.

    >>> [f"U+{ord(part):04X}" for part in decompose("\\uc548")]
    ['U+110B', 'U+1161', 'U+11AB']
    """
    code = ord(character)
    if code not in _SYLLABLES:
        return decompositions().get(character, character)
    rest, tail = divmod(code - _SYLLABLES.start, _TAIL_COUNT)
    lead, vowel = divmod(rest, _VOWEL_COUNT)
    parts = chr(_LEADS + lead) + chr(_VOWELS + vowel)
    return parts + chr(_TAILS + tail) if tail else parts

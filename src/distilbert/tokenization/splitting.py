"""A text into words: at whitespace, and around each punctuation character."""

import re
from collections.abc import Iterator, Sequence
from functools import cache

from distilbert.tokenization.characters import PUNCTUATION, WHITESPACE
from distilbert.tokenization.normalization import Normalizer


@cache
def word_pattern(split_on_punctuation: bool = True) -> re.Pattern[str]:
    """Return the pattern whose matches are the words of a normalised text.

    >>> word_pattern().findall("don't panic!")
    ['don', "'", 't', 'panic', '!']
    """
    if split_on_punctuation:
        return re.compile(f"[^{WHITESPACE}{PUNCTUATION}]+|[{PUNCTUATION}]")
    return re.compile(f"[^{WHITESPACE}]+")


class Splitter:
    """Normalises a text and splits it into words.

    >>> Splitter(Normalizer()).split("Don't!")
    ['don', "'", 't', '!']
    """

    def __init__(self, normalizer: Normalizer, split_on_punctuation: bool = True) -> None:
        self.normalizer = normalizer
        self._pattern = word_pattern(split_on_punctuation)

    def split(self, text: str) -> list[str]:
        """Return the words of a text, normalised."""
        normalized = self.normalizer.normalize(text)
        if normalized.isascii() and normalized.isalnum():
            return [normalized]  # most words of English, without a search
        return self._pattern.findall(normalized)

    def align(self, text: str) -> Iterator[tuple[str, Sequence[int]]]:
        """Yield each word with the position in `text` of each of its characters."""
        normalized, sources = self.normalizer.align(text)
        for start, end in self.spans(normalized, 0, len(normalized)):
            yield normalized[start:end], sources[start:end]

    def spans(self, normalized: str, start: int, end: int) -> Iterator[tuple[int, int]]:
        """Yield where the words are between two places of a normalised text."""
        for found in self._pattern.finditer(normalized, start, end):
            yield found.span()

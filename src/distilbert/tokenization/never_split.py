"""Words that are never split, which the Rust library does not know.

The answer is that of transformers 4.57: a word between whitespace that is one of them is left as
it is, and so is one that has become one of them by folding, or by splitting off punctuation.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from distilbert.tokenization.normalization import Normalizer
from distilbert.tokenization.spec import Spec
from distilbert.tokenization.splitting import Splitter, word_pattern


class KeepingSplitter(Splitter):
    """Splits a text into words, but for some words to be kept."""

    def __init__(self, spec: Spec) -> None:
        super().__init__(Normalizer.of(spec))
        self._kept = frozenset(spec.never_split)
        # transformers lower-cases the whole text before it looks for words to keep.
        self._clean = Normalizer.of(replace(spec, strip_accents=False))
        strip_accents = spec.strip_accents
        self._fold = Normalizer(
            clean_text=False,
            tokenize_chinese_chars=False,
            strip_accents=spec.do_lower_case if strip_accents is None else strip_accents,
            do_lower_case=False,
        )

    def split(self, text: str) -> list[str]:
        """Return the words of a text, normalised unless kept."""
        return [word for word, _ in self.align(text)]

    def align(self, text: str) -> Iterator[tuple[str, Sequence[int]]]:
        """Yield each word with the position in `text` of each of its characters."""
        cleaned, positions = self._clean.align(text)
        for found in word_pattern(split_on_punctuation=False).finditer(cleaned):
            word, sources = found.group(), positions[found.start() : found.end()]
            if word not in self._kept:
                word, folded = self._fold.align(word)
                sources = [sources[place] for place in folded]
            for start, end in self.spans(word, 0, len(word)):
                yield word[start:end], sources[start:end]

    def spans(self, normalized: str, start: int, end: int) -> Iterator[tuple[int, int]]:
        """Yield where the words are between two places of a normalised text."""
        for found in word_pattern(split_on_punctuation=False).finditer(normalized, start, end):
            if found.group() in self._kept:
                yield found.span()
            else:
                yield from super().spans(normalized, *found.span())

"""What BERT does to a text before cutting it: clean, space out Chinese, strip accents, lower-case.

Each step looks at one character at a time, so all of them are one table from a character to its
image. The exception is canonical ordering of marks, which can be seen only where one of them is
not an accent to strip; such texts take three tables, and the marks are sorted in between.
"""

import re
from collections.abc import Callable, Sequence
from functools import cache
from itertools import chain, compress, repeat
from typing import Self

from distilbert.tokenization import characters
from distilbert.tokenization.spec import Spec

_MAX_IMAGES = 1 << 16  # a table never grows beyond a few megabytes


class Normalizer:
    """Normalises as the Rust library's BertNormalizer does; `strip_accents=None` as lower-casing.

    >>> Normalizer().normalize("Ça va, 世界")
    'ca va,  世  界 '
    """

    def __init__(
        self,
        *,
        clean_text: bool = True,
        tokenize_chinese_chars: bool = True,
        strip_accents: bool | None = None,
        do_lower_case: bool = True,
    ) -> None:
        if strip_accents is None:
            strip_accents = do_lower_case
        self._strips_accents = strip_accents
        self._lowers_case = do_lower_case
        before: list[_Step] = []
        if clean_text:
            before.append(_clean)
        if tokenize_chinese_chars:
            before.append(_space_out_chinese)
        after: list[_Step] = []
        if strip_accents:
            before.append(characters.decompose)
            after.append(_strip_accents)
        if do_lower_case:
            after.append(_lower_case)
        self._images = _Images(before + after)
        self._before_sorting = _Images(before)
        self._after_sorting = _Images(after)

    @classmethod
    def of(cls, spec: Spec) -> Self:
        """Return the normaliser of a tokenizer."""
        return cls(
            clean_text=spec.clean_text,
            tokenize_chinese_chars=spec.tokenize_chinese_chars,
            strip_accents=spec.strip_accents,
            do_lower_case=spec.do_lower_case,
        )

    def normalize(self, text: str) -> str:
        """Return the normalised text."""
        if text.isascii() and text.isprintable():
            return text.lower() if self._lowers_case else text
        if self._needs_sorting(text):
            text = text.translate(self._before_sorting)
            return _sort_marks(text).translate(self._after_sorting)
        return text.translate(self._images)

    def align(self, text: str) -> tuple[str, Sequence[int]]:
        """Return the normalised text and the position in `text` each of its characters is from."""
        if text.isascii() and text.isprintable():
            return self.normalize(text), range(len(text))
        if self._needs_sorting(text):
            text, sources = self._before_sorting.align(text)
            _sort_mark_sources(text, sources)
            text, sorted_sources = self._after_sorting.align(_sort_marks(text))
            return text, [sources[source] for source in sorted_sources]
        return self._images.align(text)

    def _needs_sorting(self, text: str) -> bool:
        return (
            self._strips_accents and not text.isascii() and _lasting_mark().search(text) is not None
        )


_Step = Callable[[str], str]


class _Images(dict[int, str]):
    """What each character turns into, worked out when first met: a table for `str.translate`."""

    def __init__(self, steps: Sequence[_Step]) -> None:
        self._steps = steps

    def __missing__(self, code: int) -> str:
        if len(self) >= _MAX_IMAGES:
            self.clear()
        image = chr(code)
        for step in self._steps:
            image = "".join(map(step, image))
        self[code] = image
        return image

    def __reduce__(self) -> tuple[type["_Images"], tuple[Sequence[_Step]]]:
        return type(self), (self._steps,)  # a copy starts empty

    def align(self, text: str) -> tuple[str, list[int]]:
        """Translate `text`; return the position each character of the answer comes from."""
        images = list(map(self.__getitem__, map(ord, text)))
        sources = chain.from_iterable(map(repeat, range(len(text)), map(len, images)))
        return "".join(images), list(sources)


def _clean(character: str) -> str:
    if _one_of(characters.REMOVED).match(character):
        return ""
    return " " if _one_of(characters.WHITESPACE).match(character) else character


def _space_out_chinese(character: str) -> str:
    return f" {character} " if _one_of(characters.CHINESE).match(character) else character


def _strip_accents(character: str) -> str:
    return "" if character in characters.accents() else character


def _lower_case(character: str) -> str:
    return characters.lower_case().get(character, character)


def _sort_marks(decomposed: str) -> str:
    rank = characters.combining_order().__getitem__
    return _marks().sub(lambda run: "".join(sorted(run.group(), key=rank)), decomposed)


def _sort_mark_sources(decomposed: str, sources: list[int]) -> None:
    """Give each mark the source that the Rust library gives it once the marks are sorted.

    It sorts a mark together with a note, "a new character" or "one more from the same", and
    counts the new ones afterwards: a mark that moves takes over the place where it arrives.
    """
    order = characters.combining_order()
    for run in _marks().finditer(decomposed):
        start, end = run.span()
        source = sources[start - 1] if start else -1
        # Parts of one character have one source.
        is_new = [sources[i] != (sources[i - 1] if i else -1) for i in range(start, end)]
        new_sources = iter(list(compress(sources[start:end], is_new)))
        ranks = [order[mark] for mark in run.group()]
        for place, mark in enumerate(sorted(range(end - start), key=ranks.__getitem__), start):
            if is_new[mark]:
                source = next(new_sources)
            sources[place] = source


@cache
def _one_of(character_class: str) -> re.Pattern[str]:
    return re.compile(f"[{character_class}]")


@cache
def _marks() -> re.Pattern[str]:
    """Match marks in a row that canonical ordering may have to sort."""
    return re.compile(f"[{''.join(characters.combining_order())}]{{2,}}")


@cache
def _lasting_mark() -> re.Pattern[str]:
    """Match characters with a mark that canonical ordering sorts and stripping accents keeps."""
    marks = characters.combining_order().keys() - characters.accents()
    whole = {
        character
        for character, parts in characters.decompositions().items()
        if not marks.isdisjoint(parts)
    }
    return _one_of("".join(sorted(marks | whole)))

"""Tokens added to a vocabulary: matched whole in a text, before it is cut into words.

The ids, the order of matching and every corner of it are those of the Rust library's
AddedVocabulary.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

from tokenizers import AddedToken

from distilbert.tokenization.cache import Cache
from distilbert.tokenization.characters import SPACES, WHITESPACE, word_class


class Stretch(NamedTuple):
    """A stretch of a text: an added token if it has an id, what lies between two if not."""

    start: int
    end: int
    token_id: int | None


def flags_of(token: AddedToken) -> dict[str, Any]:
    """Return what makes an added token, as files write it and its constructor takes it."""
    return {
        "content": token.content,
        "lstrip": token.lstrip,
        "normalized": token.normalized,
        "rstrip": token.rstrip,
        "single_word": token.single_word,
        "special": token.special,
    }


class AddedTokens:
    """The added tokens of one vocabulary.

    `as_written` has the ids of those that are looked for in the text as it is: the ones with
    `normalized=False`, and of several that normalisation makes alike all but the first (the Rust
    library, left to itself, finds any one of them, another one in each tokenizer). The others are
    looked for, as `normalize` writes them, in what is left of the text once normalised.
    """

    def __init__(self, vocab: Mapping[str, int], normalize: Callable[[str], str]) -> None:
        self._vocab = vocab
        self._written = Cache(normalize)
        self._ids: dict[str, int] = {}
        self.by_id: dict[int, AddedToken] = {}
        self.as_written: frozenset[int] = frozenset()

    def token_to_id(self, token: str) -> int | None:
        """Return the id of a token, added or of the vocabulary."""
        return self._ids.get(token, self._vocab.get(token))

    def add(self, tokens: Sequence[AddedToken]) -> int:
        """Add tokens; return how many were new or came with other flags.

        Raises:
            TypeError: one of them is not an AddedToken.
            ValueError: one of them can't be found in any text.
        """
        for token in tokens:
            self._check(token)
        size = len(self._vocab)
        next_id = max(size, 1 + max(self._ids.values(), default=-1))
        added = 0
        for token in tokens:
            content = token.content
            if not content or self._has(token):
                continue
            index = self.token_to_id(content)
            if index is None:
                index = next_id
                next_id += 1
            self._ids[content] = index
            self.by_id[index] = token
            added += 1
        first: dict[str, int] = {}
        for index in sorted(self.by_id):
            if self.by_id[index].normalized:
                first.setdefault(self._written[self.by_id[index].content], index)
        self.as_written = frozenset(self.by_id.keys() - set(first.values()))
        return added

    def matchers(self) -> "tuple[Matcher | None, Matcher | None]":
        """Return what finds tokens in a text as it is, and what does in a normalised one."""
        raw: dict[str, int] = {}
        normalized: dict[str, int] = {}
        for index, token in self.by_id.items():
            if index in self.as_written:
                raw[token.content] = index
            else:
                normalized[self._written[token.content]] = index
        return (
            Matcher(raw, self.by_id) if raw else None,
            Matcher(normalized, self.by_id) if normalized else None,
        )

    def _check(self, token: AddedToken) -> None:
        """Refuse a token that no text can hold; the Rust library would panic on some text."""
        if not isinstance(token, AddedToken):
            raise TypeError(f"add_tokens takes AddedToken, not {type(token).__name__}: {token!r}")
        if not token.content:
            return
        written = self._written[token.content] if token.normalized else token.content
        if not written:
            raise ValueError(
                f"nothing is left of the added token {token.content!r} after normalisation, so it "
                "can't be found in a normalised text: give AddedToken(…, normalized=False)"
            )
        if token.lstrip and not written.strip(SPACES):
            raise ValueError(
                f"the added token {token.content!r} is white space, so it can't take the white "
                "space before it as well: give AddedToken(…, lstrip=False)"
            )

    def _has(self, token: AddedToken) -> bool:
        index = self._ids.get(token.content)
        known = None if index is None else self.by_id.get(index)
        return known is not None and flags_of(known) == flags_of(token)


class Matcher:
    """Finds the leftmost, and there the longest, of many strings."""

    def __init__(self, ids: Mapping[str, int], by_id: Mapping[int, AddedToken]) -> None:
        self._ids = ids
        self._tokens = by_id
        self._lengths: dict[str, list[int]] = {}
        for length in sorted({len(text) for text in ids}, reverse=True):
            for first in {text[0] for text in ids if len(text) == length}:
                self._lengths.setdefault(first, []).append(length)
        # The search for places to look at runs in C: the first character, and the second.
        candidates = f"[{_any_of(text[0] for text in ids)}]"
        if all(len(text) > 1 for text in ids):
            candidates += f"(?=[{_any_of(text[1] for text in ids)}])"
        self._candidates = re.compile(candidates)

    def find(self, text: str, split_special_tokens: bool = False) -> list[Stretch] | None:
        """Cut `text` into stretches, None if there is no added token in it.

        Args:
            split_special_tokens: special tokens are no added tokens.
        """
        place = self._candidates.search(text)
        if place is None:
            return None
        stretches: list[Stretch] = []
        done = 0  # where the last stretch ends, whitespace it takes included
        search_from = 0  # where the last match ends: what was stripped may be matched again
        while place is not None:
            start = place.start()
            end = self._match(text, start)
            if end is None:
                search_from = start + 1
            else:
                search_from = end
                stretch = self._stretch(text, start, end, done, split_special_tokens)
                if stretch is not None:
                    if done < stretch.start:
                        stretches.append(Stretch(done, stretch.start, None))
                    if stretch.start < stretch.end:  # or an earlier one has stripped it all
                        stretches.append(stretch)
                    done = stretch.end
            place = self._candidates.search(text, search_from)
        if not stretches:
            return None
        if done != len(text):
            stretches.append(Stretch(done, len(text), None))
        return stretches

    def _match(self, text: str, start: int) -> int | None:
        for length in self._lengths[text[start]]:
            if text[start : start + length] in self._ids:
                # At the end of a text the slice may be shorter than asked for.
                return min(start + length, len(text))
        return None

    def _stretch(
        self, text: str, start: int, end: int, done: int, split_special_tokens: bool
    ) -> Stretch | None:
        index = self._ids[text[start:end]]
        token = self._tokens[index]
        if token.special and split_special_tokens:
            return None
        if token.single_word:
            is_word = _word_character().match
            if (start and is_word(text, start - 1)) or is_word(text, end):
                return None
        if token.lstrip:
            start = done + len(text[done:start].rstrip(SPACES))
        if token.rstrip:
            spaces = _spaces().match(text, end)
            end = spaces.end() if spaces else end
        return Stretch(start, end, index)


@cache
def _spaces() -> re.Pattern[str]:
    return re.compile(f"[{WHITESPACE}]+")


@cache
def _word_character() -> re.Pattern[str]:
    return re.compile(f"[{word_class()}]")


def _any_of(characters: Iterable[str]) -> str:
    return "".join(map(re.escape, sorted(set(characters))))

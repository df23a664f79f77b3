"""The pure-Python engine: the Rust library's answer, from tables and caches.

Nothing that BERT does to a text reaches across a space, so a text is split at spaces first, and
what stands between two of them, a word and perhaps a comma, is looked up. Only what was not seen
before is normalised, split into words, and cut into pieces.
"""

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import accumulate, chain
from typing import NamedTuple

from tokenizers import AddedToken

from distilbert.tokenization.added_tokens import AddedTokens, Matcher, Stretch
from distilbert.tokenization.cache import Cache
from distilbert.tokenization.never_split import KeepingSplitter
from distilbert.tokenization.normalization import Normalizer
from distilbert.tokenization.python_pieces import (
    JoinedPieces,
    Layout,
    PythonPieces,
    Spans,
    WordPieces,
)
from distilbert.tokenization.spec import Spec
from distilbert.tokenization.splitting import Splitter
from distilbert.tokenization.text import check_text
from distilbert.tokenization.wordpiece import PieceFinder

# A word cut: the ids of its pieces, and where each of them ends. A plain tuple is out of sight of
# the garbage collector, which takes half the time of a first pass if each word is an object.
_Word = tuple[tuple[int, ...], tuple[int, ...]]


class PythonEngine:
    """Cuts texts into pieces; ids, tokens, offsets and word ids are those of the Rust library.

    `never_split` and `do_basic_tokenize=False` have no counterpart there: they do what they do in
    transformers 4.57.

    >>> engine = PythonEngine(Spec({"[UNK]": 0, "un": 1, "##able": 2}))
    >>> [pieces] = engine.encode_batch(["Unable? Ünable!"])
    >>> pieces.ids
    [1, 2, 0, 1, 2, 0]
    >>> pieces.offsets
    [(0, 2), (2, 6), (6, 7), (8, 10), (10, 14), (14, 15)]
    """

    def __init__(self, spec: Spec) -> None:
        self._vocab = spec.vocab
        self._tokens = {index: token for token, index in self._vocab.items()}
        self._unk_token = spec.unk_token
        self._max_word_length = spec.max_input_chars_per_word
        self._finder = PieceFinder(self._vocab, spec.continuing_subword_prefix)

        self._kept = frozenset(spec.never_split if spec.do_basic_tokenize else ())
        self._splitter: Splitter
        if not spec.do_basic_tokenize:
            nothing = Normalizer(
                clean_text=False, tokenize_chinese_chars=False, do_lower_case=False
            )
            self._splitter = Splitter(nothing, split_on_punctuation=False)
        elif self._kept:
            self._splitter = KeepingSplitter(spec)
        else:
            self._splitter = Splitter(Normalizer.of(spec))
        self._added = AddedTokens(self._vocab, self._splitter.normalizer.normalize)
        self._in_raw_text: Matcher | None = None
        self._in_normalized_text: Matcher | None = None

        self._words = Cache(self._cut_word)
        self._chunk_ids = Cache(self._cut_chunk)
        self._chunk_spans = Cache(self._find_spans)
        self._given_words = {
            split: Cache(partial(self._cut_given_word, split)) for split in (False, True)
        }

    @property
    def vocab(self) -> dict[str, int]:
        """The vocabulary without added tokens, token to id."""
        return self._vocab

    @property
    def added_tokens(self) -> dict[int, AddedToken]:
        """The added tokens by id, special ones of the vocabulary included."""
        return dict(sorted(self._added.by_id.items()))

    def add_tokens(self, tokens: Sequence[AddedToken]) -> int:
        """Add tokens that are matched whole before the text is cut; return how many are new.

        Raises:
            TypeError: One of them is not an AddedToken.
            ValueError: One of them can't be found in any text.
        """
        count = self._added.add(tokens)
        self._in_raw_text, self._in_normalized_text = self._added.matchers()
        for words in self._given_words.values():
            words.clear()
        return count

    def token_to_id(self, token: str) -> int | None:
        """Return the id of a token of the vocabulary or an added one, None for any other."""
        return self._added.token_to_id(token)

    def id_to_token(self, index: int) -> str | None:
        """Return the token of an id, None where there is none."""
        added = self._added.by_id.get(index)
        return self._tokens.get(index) if added is None else added.content

    def encode_batch(
        self, texts: Sequence[str], in_full: bool = False, split_special_tokens: bool = False
    ) -> list[PythonPieces]:
        """Cut several texts; offsets are worked out when asked for, `in_full` or not.

        Raises:
            TypeError: A text is not a string.
            ValueError: A text has a lone surrogate, or a word is not in the vocabulary and
                neither is the unknown token.
        """
        if isinstance(texts, str):
            raise TypeError("encode_batch takes a list of texts, not one text: wrap it in a list")
        return [self._encode(check_text(text), split_special_tokens) for text in texts]

    def encode_words_batch(
        self, batch: Sequence[Sequence[str]], split_special_tokens: bool = False
    ) -> list[JoinedPieces]:
        """Cut several texts that are split into words already, which `word_ids` then index.

        Raises:
            TypeError: A word is not a string.
            ValueError: As for `encode_batch`.
        """
        if any(isinstance(words, str) for words in batch):
            raise TypeError("encode_words_batch takes lists of words, not texts: split them first")
        given = self._given_words[split_special_tokens]
        return [JoinedPieces([given[check_text(word)] for word in words]) for words in batch]

    def _cut_given_word(self, split_special_tokens: bool, word: str) -> WordPieces:
        pieces = self._encode(word, split_special_tokens)
        return WordPieces(tuple(pieces.ids), tuple(pieces.tokens), tuple(pieces.offsets))

    def _encode(self, text: str, split_special_tokens: bool) -> PythonPieces:
        parts = self._find_added(text, split_special_tokens)
        ids = self._ids(text, parts)
        spell = partial(self._spell, text, parts, ids)
        return PythonPieces(ids, spell, partial(self._find_layout, text, parts))

    def _find_added(self, text: str, split_special_tokens: bool) -> "list[_Part] | None":
        """Find the added tokens of a text, None if there are none."""
        raw = self._in_raw_text and self._in_raw_text.find(text, split_special_tokens)
        normalized = self._in_normalized_text
        if not raw and not normalized:
            return None
        parts = []
        for start, end, token_id in raw or [Stretch(0, len(text), None)]:
            part = text[start:end]
            stretches = None
            if token_id is None and normalized:
                written = self._splitter.normalizer.normalize(part)
                stretches = normalized.find(written, split_special_tokens)
            parts.append(_Part(part, start, token_id, stretches))
        if len(parts) == 1 and parts[0].token_id is None and parts[0].stretches is None:
            return None
        return parts

    def _ids(self, text: str, parts: "list[_Part] | None") -> list[int]:
        if parts is None:
            return list(chain.from_iterable(map(self._chunk_ids.__getitem__, _chunks(text))))
        ids: list[int] = []
        for part in parts:
            if part.token_id is not None:
                ids.append(part.token_id)
            elif part.stretches is None:
                ids += self._ids(part.text, None)
            else:
                normalized = self._splitter.normalizer.normalize(part.text)
                for start, end, token_id in part.stretches:
                    if token_id is not None:
                        ids.append(token_id)
                        continue
                    for span in self._splitter.spans(normalized, start, end):
                        ids += self._words[normalized[slice(*span)]][0]
        return ids

    def _cut_chunk(self, chunk: str) -> tuple[int, ...]:
        words = self._splitter.split(chunk)
        if len(words) == 1:
            return self._words[words[0]][0]
        return tuple(chain.from_iterable([self._words[word][0] for word in words]))

    def _cut_word(self, word: str) -> _Word:
        if word in self._kept:
            index = self._vocab.get(word)
            return (self._unknown(word) if index is None else index,), (len(word),)
        found = None
        if len(word) <= self._max_word_length:
            index = self._vocab.get(word)
            if index is not None:
                return (index,), (len(word),)
            found = self._finder.find(word)
        if found is None:
            return (self._unknown(word),), (len(word),)
        ids, ends = found
        return tuple(ids), tuple(ends)

    def _unknown(self, word: str) -> int:
        index = self._vocab.get(self._unk_token)
        if index is None:
            raise ValueError(
                f"the word {word[:80]!r} is not in the vocabulary, and neither is the unknown "
                f"token {self._unk_token!r}: add it to the vocabulary or name another unk_token"
            )
        return index

    def _spell(self, text: str, parts: "list[_Part] | None", ids: list[int]) -> list[str]:
        if parts is None and not self._kept:
            return list(map(self._tokens.__getitem__, ids))
        if parts is None:
            words = chain.from_iterable(map(self._splitter.split, _chunks(text)))
            return list(chain.from_iterable(map(self._spell_word, words)))
        tokens: list[str] = []
        for part in parts:
            if part.token_id is not None:
                tokens.append(part.text)
            elif part.stretches is None:
                tokens += self._spell(part.text, None, self._ids(part.text, None))
            else:
                normalized = self._splitter.normalizer.normalize(part.text)
                for start, end, token_id in part.stretches:
                    if token_id is not None:
                        tokens.append(normalized[start:end])
                        continue
                    for span in self._splitter.spans(normalized, start, end):
                        tokens += self._spell_word(normalized[slice(*span)])
        return tokens

    def _spell_word(self, word: str) -> list[str]:
        if word in self._kept:
            return [word]
        return [self._tokens[index] for index in self._words[word][0]]

    def _find_layout(self, text: str, parts: "list[_Part] | None") -> Layout:
        """Find where the stretches of a text begin, and the spans in each of them."""
        if parts is not None:
            return self._find_parts_layout(parts)
        chunks = _chunks(text)
        starts = accumulate((len(chunk) + 1 for chunk in chunks[:-1]), initial=0)
        return zip(starts, map(self._chunk_spans.__getitem__, chunks), strict=True)

    def _find_parts_layout(self, parts: "list[_Part]") -> Layout:
        for part in parts:
            if part.token_id is not None:
                yield part.start, ((0, len(part.text), 0),)
            elif part.stretches is None:
                for start, spans in self._find_layout(part.text, None):
                    yield part.start + start, spans
            else:
                for spans in self._stretch_spans(part.text, part.stretches):
                    yield part.start, spans

    def _stretch_spans(self, text: str, stretches: list[Stretch]) -> Iterator[Spans]:
        normalized, sources = self._splitter.normalizer.align(text)
        for start, end, token_id in stretches:
            if token_id is not None:
                yield ((sources[start], sources[end - 1] + 1, 0),)
                continue
            words = self._splitter.spans(normalized, start, end)
            yield self._spans((normalized[slice(*word)], sources[slice(*word)]) for word in words)

    def _find_spans(self, chunk: str) -> Spans:
        if not (chunk.isascii() and chunk.isprintable()):
            return self._spans(self._splitter.align(chunk))
        # No whitespace, and nothing that normalisation moves: the pieces follow on each other.
        if len(self._chunk_ids[chunk]) == 1:
            return ((0, len(chunk), 0),)
        spans = []
        start = base = 0
        for word_id, word in enumerate(self._splitter.split(chunk)):
            for piece_end in self._words[word][1]:
                end = base + piece_end
                spans.append((start, end, word_id))
                start = end
            base = start
        return tuple(spans)

    def _spans(self, words: Iterable[tuple[str, Sequence[int]]]) -> Spans:
        spans = []
        for word_id, (word, sources) in enumerate(words):
            start = 0
            for end in self._words[word][1]:
                spans.append((sources[start], sources[end - 1] + 1, word_id))
                start = end
        return tuple(spans)


class _Part(NamedTuple):
    """A part of a text: an added token if it has an id, else text that may hold normalised ones."""

    text: str
    start: int
    token_id: int | None
    stretches: list[Stretch] | None


def _chunks(text: str) -> list[str]:
    """Split at spaces, and at what always becomes a space, so that positions stay."""
    return text.replace("\n", " ").replace("\t", " ").replace("\r", " ").split(" ")

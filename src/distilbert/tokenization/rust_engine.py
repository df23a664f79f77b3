"""The fast engine: WordPiece by the Rust library `tokenizers`.

Ids of texts come from its short cut that tracks no offsets; tokens, offsets and word ids are cut
again, in full, for the texts they are asked of. Lists of words are cut in full at once: who splits
text into words wants to know which word a token is from.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any

from tokenizers import AddedToken, Encoding, Tokenizer, decoders, models, normalizers
from tokenizers import pre_tokenizers as pre

from distilbert.tokenization.added_tokens import AddedTokens, flags_of
from distilbert.tokenization.engine import Pieces
from distilbert.tokenization.lazy import lazy
from distilbert.tokenization.spec import Spec
from distilbert.tokenization.text import check_text


def build_backend(spec: Spec, model: models.Model | None = None) -> Tokenizer:
    """Return a Rust tokenizer that cuts as BERT does, without special tokens around a text.

    Args:
        model: the spec's vocabulary, if another backend has it in memory.
    """
    if model is None:
        model = models.WordPiece(
            spec.vocab,
            unk_token=spec.unk_token,
            max_input_chars_per_word=spec.max_input_chars_per_word,
            continuing_subword_prefix=spec.continuing_subword_prefix,
        )
    backend = cutting_words(model, spec)
    backend.decoder = decoders.WordPiece(prefix=spec.continuing_subword_prefix)
    return backend


def cutting_words(model: models.Model, spec: Spec) -> Tokenizer:
    """Return a Rust tokenizer that normalises text and splits it into words as BERT does."""
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizers.BertNormalizer(
        clean_text=spec.clean_text,
        handle_chinese_chars=spec.tokenize_chinese_chars,
        strip_accents=spec.strip_accents,
        lowercase=spec.do_lower_case,
    )
    tokenizer.pre_tokenizer = pre.BertPreTokenizer()
    return tokenizer


def _without_added(backend: Tokenizer) -> Tokenizer:
    """Return a copy, with the same vocabulary in memory, that has no added tokens."""
    twin = Tokenizer(backend.model)
    twin.normalizer = backend.normalizer
    twin.pre_tokenizer = backend.pre_tokenizer
    twin.decoder = backend.decoder
    return twin


def hand_over(backend: Tokenizer, tokens: Iterable[AddedToken], vocab: Mapping[str, int]) -> None:
    """Add tokens to a backend, given in the order of their ids.

    All at once, because the library then goes through all that it has; but vocabulary apart from
    the rest, so that ids come out as they should.
    """
    for (_, special), group in groupby(
        tokens, lambda token: (token.content in vocab, token.special)
    ):
        add = backend.add_special_tokens if special else backend.add_tokens
        add(list(group))


class _Batch:
    """Texts that were cut for their ids, and can be cut again in full."""

    __slots__ = ("_backend", "_encodings", "_texts")

    def __init__(
        self, backend: Tokenizer, texts: Sequence[str], encodings: Sequence[Encoding] = ()
    ) -> None:
        self._backend = backend
        self._texts = texts
        self._encodings = dict(enumerate(encodings))

    def encoding(self, index: int) -> Encoding:
        """Cut the first text asked for alone, and all of them in parallel for the second."""
        encoding = self._encodings.get(index)
        if encoding is None:
            wanted = range(len(self._texts)) if self._encodings else [index]
            encodings = self._backend.encode_batch(
                [self._texts[i] for i in wanted], add_special_tokens=False
            )
            self._encodings.update(zip(wanted, encodings, strict=True))
            encoding = self._encodings[index]
        return encoding


class RustPieces:
    """Pieces of one text: ids at once, the rest cut on demand.

    Each list is kept, because the library builds it anew whenever it is asked.
    """

    def __init__(self, ids: list[int], batch: _Batch, index: int) -> None:
        self.ids = ids
        self._batch = batch
        self._index = index

    @lazy
    def tokens(self) -> list[str]:
        """The pieces as the vocabulary spells them."""
        return self._batch.encoding(self._index).tokens

    @lazy
    def offsets(self) -> list[tuple[int, int]]:
        """Start and end of each piece in the text, in characters."""
        return self._batch.encoding(self._index).offsets

    @lazy
    def word_ids(self) -> list[int | None]:
        """Index of the word each piece comes from."""
        return self._batch.encoding(self._index).word_ids


class RustEngine:
    """An engine over a `tokenizers.Tokenizer`.

    Args:
        spec: what it cuts with, but for added tokens.
    """

    def __init__(self, spec: Spec) -> None:
        self._backend = build_backend(spec)
        self._splitting: Tokenizer | None = None  # the one that splits special tokens, if used
        self._vocab = spec.vocab
        self._added = AddedTokens(self._vocab, self._backend.normalizer.normalize_str)
        self._handed_over: dict[int, dict[str, Any]] = {}  # the flags of those the backend has
        self._lent = False

    def __getstate__(self) -> dict[str, Any]:
        """Return what a copy has, which has handed out no pieces."""
        return {**vars(self), "_lent": False, "_splitting": None}

    def backend(self, split_special_tokens: bool = False) -> Tokenizer:
        """Return the Rust tokenizer.

        Whether special tokens are split is a setting of it, so that there are two of them: calls
        of several threads, and pieces that are cut again later, each have their own.
        """
        if not split_special_tokens:
            return self._backend
        if self._splitting is None:
            twin = _without_added(self._backend)
            twin.encode_special_tokens = True
            self._hand_over(twin, self._handed_over)
            self._splitting = twin
        return self._splitting

    def encode_batch(
        self, texts: Sequence[str], in_full: bool = False, split_special_tokens: bool = False
    ) -> Sequence[Pieces]:
        """Cut several texts, in parallel.

        Args:
            texts: the texts.
            in_full: offsets will be asked for, so they are tracked at once.
            split_special_tokens: special tokens that a text holds are cut like the rest of it.
        """
        backend = self.backend(split_special_tokens)
        encode = backend.encode_batch if in_full else backend.encode_batch_fast
        try:
            encodings = encode(texts, add_special_tokens=False)
        except TypeError:
            for text in texts:
                check_text(text)
            raise
        self._lent = True
        batch = _Batch(backend, texts, encodings if in_full else ())
        return [RustPieces(encoding.ids, batch, i) for i, encoding in enumerate(encodings)]

    def encode_words_batch(
        self, batch: Sequence[Sequence[str]], split_special_tokens: bool = False
    ) -> Sequence[Pieces]:
        """Cut several texts that are already split into words, in parallel and in full."""
        backend = self.backend(split_special_tokens)
        try:
            encodings = backend.encode_batch(batch, is_pretokenized=True, add_special_tokens=False)
        except TypeError:
            for words in batch:
                for word in words:
                    check_text(word)
            raise
        cut = _Batch(backend, (), encodings)
        return [RustPieces(encoding.ids, cut, i) for i, encoding in enumerate(encodings)]

    def token_to_id(self, token: str) -> int | None:
        """Return the id of a token, None for an unknown one."""
        try:
            return self._backend.token_to_id(token)
        except UnicodeEncodeError:  # a lone surrogate, which no token has
            return None

    def id_to_token(self, index: int) -> str | None:
        """Return the token of an id, None where there is none."""
        if index in self._added.by_id:  # the library, since 0.23, would return it normalised
            return self._added.by_id[index].content
        return self._backend.id_to_token(index) if 0 <= index < 1 << 32 else None

    def add_tokens(self, tokens: Sequence[AddedToken]) -> int:
        """Add tokens that are matched whole before the text is cut; return how many are new.

        Raises:
            TypeError: one of them is not an AddedToken.
            ValueError: one of them can't be found in any text.
        """
        added = self._added.add(tokens)
        flags = {index: flags_of(token) for index, token in self._added.by_id.items()}
        for index in self._added.as_written:
            flags[index]["normalized"] = False
        # Pieces handed out are cut by the tokenizer of their time; and the library, before 0.23,
        # remembers the flags that a token had before.
        if self._lent or any(flags[index] != old for index, old in self._handed_over.items()):
            self._backend, self._lent, self._handed_over = _without_added(self._backend), False, {}
        self._splitting = None
        new = {i: flags[i] for i in flags.keys() - self._handed_over.keys()}
        self._hand_over(self._backend, new)
        self._handed_over.update(new)
        return added

    def _hand_over(self, backend: Tokenizer, new: Mapping[int, dict[str, Any]]) -> None:
        hand_over(backend, [AddedToken(**new[index]) for index in sorted(new)], self._vocab)

    @property
    def added_tokens(self) -> dict[int, AddedToken]:
        """The added tokens by id."""
        return dict(sorted(self._added.by_id.items()))

    @property
    def vocab(self) -> dict[str, int]:
        """The vocabulary without added tokens."""
        return self._vocab

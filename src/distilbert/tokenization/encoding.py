"""Calling a tokenizer: texts in, `BatchEncoding` out."""

from collections.abc import Sequence
from typing import Any, ClassVar

from distilbert.fields import boolean
from distilbert.tokenization.batch_encoding import BatchEncoding
from distilbert.tokenization.engine import Pieces
from distilbert.tokenization.fitting import Fit
from distilbert.tokenization.from_ids import FromIds
from distilbert.tokenization.options import Setting
from distilbert.tokenization.row import Row
from distilbert.tokenization.tensors import kind_of, to_ids

_EXPECTED = (
    "expected a text (str), a batch of texts (list of str) or, with is_split_into_words=True, "
    "a list of words or a batch of such lists"
)

Words = Sequence[str]
Text = str | Words


class Encoding(FromIds):
    """Encodes texts; the engine cuts them, the rest is the same for both tokenizers."""

    is_fast: ClassVar[bool]
    split_special_tokens = Setting(boolean)

    def __call__(
        self,
        text: Text | Sequence[Text],
        text_pair: Text | Sequence[Text] | None = None,
        add_special_tokens: bool = True,
        padding: bool | str = False,
        truncation: bool | str | None = None,
        max_length: int | None = None,
        stride: int = 0,
        is_split_into_words: bool = False,
        pad_to_multiple_of: int | None = None,
        padding_side: str | None = None,
        return_tensors: str | None = None,
        return_token_type_ids: bool | None = None,
        return_attention_mask: bool | None = None,
        return_overflowing_tokens: bool = False,
        return_special_tokens_mask: bool = False,
        return_offsets_mapping: bool = False,
        return_length: bool = False,
        verbose: bool = True,
        *,
        truncation_side: str | None = None,
        split_special_tokens: bool | None = None,
        pad_to_max_length: bool = False,
    ) -> BatchEncoding:
        """Encode a text, a pair of texts, or a batch of either.

        Args:
            text: a text or a batch; a batch may hold pairs, as tuples of two texts.
            text_pair: the second text, or a batch of as many as `text` has.
            add_special_tokens: `[CLS] A [SEP]` and `[CLS] A [SEP] B [SEP]`, or the bare pieces.
            padding: True or "longest" pads to the longest row, "max_length" to max_length (or
                model_max_length), False or "do_not_pad" not at all.
            truncation: True or "longest_first" shortens the longer text of a pair first,
                "only_first" and "only_second" one of them; False or "do_not_truncate".
            max_length: tokens per row, special ones included; model_max_length if not given.
            stride: pieces that consecutive overflow rows share.
            is_split_into_words: texts are lists of words; word ids and offsets count in them.
            pad_to_multiple_of: rounds the padded length up.
            padding_side: "right" or "left".
            return_tensors: "np", "pt" or "tf"; lists otherwise.
            return_token_type_ids: adds 0 for the first text and 1 for the second.
            return_attention_mask: False leaves it out.
            return_overflowing_tokens: what truncation cuts off comes as further rows, with
                `overflow_to_sample_mapping` from row to text.
            return_special_tokens_mask: adds 1 for special tokens and padding.
            return_offsets_mapping: adds the characters that each token covers.
            return_length: adds the length of each row, padding included.
            verbose: False silences warnings.
            truncation_side: "right" or "left".
            split_special_tokens: True cuts special tokens that a text holds like the rest of it;
                by default as the tokenizer's attribute of that name says.
            pad_to_max_length: the former name of padding="max_length", which the error says.

        Raises:
            TypeError: a text is not a string, or pad_to_max_length=True.
            ValueError: an option that is unknown, out of range or impossible, batches of different
                lengths, or a text with a lone surrogate.
        """
        if pad_to_max_length:
            raise TypeError('pad_to_max_length=True has a new name: say padding="max_length"')
        fit = self._fit(
            padding,
            truncation,
            max_length,
            stride,
            pad_to_multiple_of,
            padding_side,
            truncation_side,
            verbose,
        )
        batched = isinstance(text, list | tuple) and (
            not is_split_into_words or (len(text) > 0 and isinstance(text[0], list | tuple))
        )
        if batched:
            firsts, seconds = self._split_batch(text, text_pair, is_split_into_words)
        else:
            if not is_split_into_words and isinstance(text_pair, list | tuple):
                raise ValueError("text is one text, so text_pair must be one as well, not a batch")
            firsts, seconds = [text], [text_pair]
        rows, origins = self._encode_rows(
            firsts,
            seconds,
            is_split_into_words,
            fit,
            add_special_tokens,
            return_overflowing_tokens,
            return_offsets_mapping,
            split_special_tokens,
        )
        if rows:
            self._warn_if_long(max(len(row.ids) for row in rows), fit, verbose)
        data: dict[str, Any] = {"input_ids": [row.ids for row in rows]}
        if self._returns("token_type_ids", return_token_type_ids):
            data["token_type_ids"] = [row.type_ids for row in rows]
        if self._returns("attention_mask", return_attention_mask):
            data["attention_mask"] = [row.attention_mask for row in rows]
        if return_special_tokens_mask:
            data["special_tokens_mask"] = [row.special_tokens_mask for row in rows]
        if return_offsets_mapping:
            data["offset_mapping"] = [row.offsets for row in rows]
        if return_length:
            data["length"] = [len(row.ids) for row in rows]
        if return_overflowing_tokens:
            data["overflow_to_sample_mapping"] = origins
        if return_tensors is None and not batched and not return_overflowing_tokens:
            data = {
                name: values if name == "length" else values[0] for name, values in data.items()
            }
        return BatchEncoding(data, rows, return_tensors)

    def _split_batch(
        self, texts: Any, text_pairs: Any, split: bool
    ) -> tuple[list[Any], list[Any | None]]:
        """Return first and second texts of a batch, whichever way the pairs were given."""
        if text_pairs is None and all(isinstance(item, str) for item in texts):
            return list(texts), [None] * len(texts)
        if text_pairs is None:
            firsts: list[Any] = []
            seconds: list[Any | None] = []
            for item in texts:
                pair = _as_pair(item, split)
                firsts.append(item if pair is None else pair[0])
                seconds.append(None if pair is None else pair[1])
            return firsts, seconds
        if not isinstance(text_pairs, list | tuple):
            raise TypeError(
                "text is a batch, so text_pair must be a list with as many texts, "
                f"not {type(text_pairs).__name__}"
            )
        if len(texts) != len(text_pairs):
            raise ValueError(
                f"text has {len(texts)} texts and text_pair has {len(text_pairs)}; "
                "give one second text for each"
            )
        return list(texts), list(text_pairs)

    def _encode_rows(
        self,
        firsts: list[Any],
        seconds: list[Any | None],
        split: bool,
        fit: Fit,
        framed: bool,
        overflow: bool,
        in_full: bool,
        split_special_tokens: bool | None,
    ) -> tuple[list[Row], list[int]]:
        given = [text for text in seconds if text is not None]
        pieces = self._cut([*firsts, *given], split, in_full, split_special_tokens)
        rest = iter(pieces[len(firsts) :])
        paired = [None if second is None else next(rest) for second in seconds]
        return self._make_rows(pieces[: len(firsts)], paired, fit, framed, overflow)

    def _cut(
        self,
        texts: Sequence[Any],
        split: bool,
        in_full: bool = False,
        split_special_tokens: bool | None = None,
    ) -> Sequence[Pieces]:
        """Check and cut texts, or lists of words; `in_full` if offsets will be asked for."""
        if split_special_tokens is None:
            split_special_tokens = self.split_special_tokens
        if not split:
            for text in texts:
                if not isinstance(text, str):
                    raise TypeError(f"{_EXPECTED}; not {_name(text)}")
            return self._engine.encode_batch(texts, in_full, split_special_tokens)
        for text in texts:
            if not isinstance(text, list | tuple):
                raise TypeError(f"{_EXPECTED}; not {_name(text)}")
            if text and not isinstance(text[0], str):
                raise TypeError(f"a word is a string, not {_name(text[0])}; {_EXPECTED}")
        return self._engine.encode_words_batch(texts, split_special_tokens)

    def encode_plus(
        self,
        text: Text | Sequence[int],
        text_pair: Any = None,
        add_special_tokens: bool = True,
        padding: bool | str = False,
        truncation: bool | str | None = None,
        max_length: int | None = None,
        stride: int = 0,
        is_split_into_words: bool = False,
        **kwargs: Any,
    ) -> BatchEncoding:
        """Encode one text or one pair; the options are those of `__call__`.

        A list without `is_split_into_words` holds tokens or ids, as `tokenize` and
        `convert_tokens_to_ids` return them, and goes to `prepare_for_model`.
        """
        options = {
            "add_special_tokens": add_special_tokens,
            "padding": padding,
            "truncation": truncation,
            "max_length": max_length,
            "stride": stride,
            **kwargs,
        }
        texts: Any = text
        if is_split_into_words or isinstance(text, str):
            return self(texts, text_pair, is_split_into_words=is_split_into_words, **options)
        if not isinstance(text, list | tuple) and kind_of(text) is None:
            raise TypeError(f"{_EXPECTED}; not {_name(text)}")
        pair = None if text_pair is None else self._ids_of(text_pair)
        batch_axis = options.get("return_tensors") is not None
        return self.prepare_for_model(
            self._ids_of(text), pair, prepend_batch_axis=batch_axis, **options
        )

    def _ids_of(self, text: Any) -> list[int]:
        if isinstance(text, str):
            return list(self._cut([text], split=False)[0].ids)
        if isinstance(text, list | tuple) and all(isinstance(item, str) for item in text):
            return [self.convert_tokens_to_ids(token) for token in text]
        return to_ids(text)

    def batch_encode_plus(
        self,
        batch_text_or_text_pairs: Sequence[Any],
        add_special_tokens: bool = True,
        **kwargs: Any,
    ) -> BatchEncoding:
        """Encode a batch of texts, or of tuples of two; the options are those of `__call__`."""
        if not isinstance(batch_text_or_text_pairs, list | tuple):
            raise TypeError(f"expected a batch, not {_name(batch_text_or_text_pairs)}")
        batch = batch_text_or_text_pairs
        if kwargs.get("is_split_into_words") and batch and isinstance(batch[0], str):
            raise TypeError("expected a batch of lists of words, got one list of words")
        return self(batch, add_special_tokens=add_special_tokens, **kwargs)

    def encode(
        self,
        text: Text | Sequence[int],
        text_pair: Text | Sequence[int] | None = None,
        add_special_tokens: bool = True,
        padding: bool | str = False,
        truncation: bool | str | None = None,
        max_length: int | None = None,
        stride: int = 0,
        padding_side: str | None = None,
        return_tensors: str | None = None,
        **kwargs: Any,
    ) -> Any:
        """Encode one text or one pair and return the ids only; options as in `__call__`."""
        encoded = self.encode_plus(
            text,
            text_pair,
            add_special_tokens=add_special_tokens,
            padding=padding,
            truncation=truncation,
            max_length=max_length,
            stride=stride,
            padding_side=padding_side,
            return_tensors=return_tensors,
            **kwargs,
        )
        return encoded["input_ids"]

    def tokenize(
        self, text: str, pair: str | None = None, add_special_tokens: bool = False, **kwargs: Any
    ) -> list[str]:
        """Return the tokens of a text, or of a pair; options as in `__call__`.

        Raises:
            TypeError: something else than one text.
        """
        if isinstance(text, list | tuple) and not kwargs.get("is_split_into_words"):
            raise TypeError(f"tokenize takes one text (str), not {_name(text)}")
        kwargs.setdefault("verbose", False)
        if self.is_fast:  # offsets come with the tokens, and text that is cut for ids without them
            kwargs["return_offsets_mapping"] = True
        return self(text, pair, add_special_tokens=add_special_tokens, **kwargs).tokens()


def _as_pair(item: Any, split: bool) -> tuple[Any, Any] | None:
    """Return the two texts of an element of a batch, None if it is one text."""
    if not isinstance(item, list | tuple):
        return None
    if split and not (item and isinstance(item[0], list | tuple)):
        return None
    if len(item) != 2:
        raise ValueError(
            f"an element of the batch is a list of {len(item)}; it may be a text, a tuple of two "
            "texts or, with is_split_into_words=True, a list of words"
        )
    return item[0], item[1]


def _name(value: Any) -> str:
    return f"{value!r:.60} ({type(value).__name__})"

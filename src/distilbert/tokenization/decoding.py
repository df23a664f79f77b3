"""Ids and tokens back to text, the same for both tokenizers."""

from collections.abc import Iterable
from typing import Any, overload

from distilbert.tokenization.encoding import Encoding
from distilbert.tokenization.tensors import kind_of, to_lists

# In this order: " ' " must come before the contractions.
_TIGHTENED = (
    (" .", "."),
    (" ?", "?"),
    (" !", "!"),
    (" ,", ","),
    (" ' ", "'"),
    (" n't", "n't"),
    (" 'm", "'m"),
    (" 's", "'s"),
    (" 've", "'ve"),
    (" 're", "'re"),
)


class Decoding(Encoding):
    """Joins pieces into text."""

    clean_up_tokenization_spaces: bool
    _prefix: str

    def convert_tokens_to_string(self, tokens: Iterable[str]) -> str:
        """Join tokens with spaces, continuations to what they continue."""
        return " ".join(tokens).replace(f" {self._prefix}", "").strip()

    @staticmethod
    def clean_up_tokenization(out_string: str) -> str:
        """Remove the spaces before English punctuation and contractions."""
        for loose, tight in _TIGHTENED:
            out_string = out_string.replace(loose, tight)
        return out_string

    @overload
    def decode(
        self,
        token_ids: int | list[int],
        skip_special_tokens: bool = False,
        clean_up_tokenization_spaces: bool | None = None,
    ) -> str: ...

    @overload
    def decode(
        self,
        token_ids: Any,
        skip_special_tokens: bool = False,
        clean_up_tokenization_spaces: bool | None = None,
    ) -> Any: ...

    def decode(
        self,
        token_ids: Any,
        skip_special_tokens: bool = False,
        clean_up_tokenization_spaces: bool | None = None,
    ) -> Any:
        """Return the text of one row of ids (a list, an array or a tensor), or of one id.

        Several rows give a list of texts, as in transformers 5.x.

        Args:
            token_ids: the ids.
            skip_special_tokens: leaves special tokens and padding out.
            clean_up_tokenization_spaces: whether `clean_up_tokenization` is applied; by default
                as the tokenizer's attribute of that name says.

        Raises:
            ValueError: an id is not in the vocabulary, or is none.
        """
        ids = token_ids if kind_of(token_ids) is None else to_lists(token_ids)
        several = isinstance(ids, list | tuple) and ids and isinstance(to_lists(ids[0]), list)
        decode = self.batch_decode if several else self._decode_row
        return decode(ids, skip_special_tokens, clean_up_tokenization_spaces)

    def _decode_row(
        self, ids: Any, skip_special_tokens: bool, clean_up_tokenization_spaces: bool | None
    ) -> str:
        row = to_lists(ids) if kind_of(ids) is not None else ids
        if isinstance(row, int):
            row = [row]
        text = self.convert_tokens_to_string(self.convert_ids_to_tokens(row, skip_special_tokens))
        if clean_up_tokenization_spaces is None:
            clean_up_tokenization_spaces = self.clean_up_tokenization_spaces
        return self.clean_up_tokenization(text) if clean_up_tokenization_spaces else text

    def batch_decode(
        self,
        sequences: Any,
        skip_special_tokens: bool = False,
        clean_up_tokenization_spaces: bool | None = None,
    ) -> list[str]:
        """Return the text of each row, or of each id of a single row; options as in `decode`."""
        rows = sequences if kind_of(sequences) is None else to_lists(sequences)
        return [
            self._decode_row(row, skip_special_tokens, clean_up_tokenization_spaces)
            for row in ([rows] if isinstance(rows, int) else rows)
        ]

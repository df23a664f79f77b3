"""Ids and tokens back to text, the same for both tokenizers."""

from collections.abc import Iterable
from typing import Any

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

    def decode(
        self,
        token_ids: Any,
        skip_special_tokens: bool = False,
        clean_up_tokenization_spaces: bool | None = None,
    ) -> str:
        """Return the text of one row of ids (a list, an array or a tensor), or of one id.

        Args:
            token_ids: the ids.
            skip_special_tokens: leaves special tokens and padding out.
            clean_up_tokenization_spaces: whether `clean_up_tokenization` is applied; by default
                as the tokenizer's attribute of that name says.

        Raises:
            ValueError: an id is not in the vocabulary, or there are several rows.
        """
        ids = to_lists(token_ids) if kind_of(token_ids) is not None else token_ids
        if isinstance(ids, int):
            ids = [ids]
        tokens = self.convert_ids_to_tokens(ids, skip_special_tokens)
        text = self.convert_tokens_to_string(tokens)
        if clean_up_tokenization_spaces is None:
            clean_up_tokenization_spaces = self.clean_up_tokenization_spaces
        return self.clean_up_tokenization(text) if clean_up_tokenization_spaces else text

    def batch_decode(
        self,
        sequences: Any,
        skip_special_tokens: bool = False,
        clean_up_tokenization_spaces: bool | None = None,
    ) -> list[str]:
        """Return the text of each row; options as in `decode`."""
        return [
            self.decode(row, skip_special_tokens, clean_up_tokenization_spaces) for row in sequences
        ]

"""Where the special tokens go: `[CLS] A [SEP]` and `[CLS] A [SEP] B [SEP]`, for lists of ids."""

from collections.abc import Sequence

from distilbert.tokenization.tensors import to_ids
from distilbert.tokenization.vocabulary import Vocabulary


class SpecialLayout(Vocabulary):
    """The special tokens around one text or two, given as ids."""

    def num_special_tokens_to_add(self, pair: bool = False) -> int:
        """Return how many special tokens go around one text, or around two."""
        return 3 if pair else 2

    def build_inputs_with_special_tokens(
        self, token_ids_0: Sequence[int], token_ids_1: Sequence[int] | None = None
    ) -> list[int]:
        """Put the special tokens around the ids of one text or two."""
        (cls, _), (sep, _), _ = self._frame
        ids = [cls, *to_ids(token_ids_0), sep]
        return ids if token_ids_1 is None else [*ids, *to_ids(token_ids_1), sep]

    def create_token_type_ids_from_sequences(
        self, token_ids_0: Sequence[int], token_ids_1: Sequence[int] | None = None
    ) -> list[int]:
        """Return 0 for `[CLS] A [SEP]` and 1 for `B [SEP]`: what a BERT teacher needs."""
        types = [0] * (len(token_ids_0) + 2)
        return types if token_ids_1 is None else types + [1] * (len(token_ids_1) + 1)

    def get_special_tokens_mask(
        self,
        token_ids_0: Sequence[int],
        token_ids_1: Sequence[int] | None = None,
        already_has_special_tokens: bool = False,
    ) -> list[int]:
        """Return 1 where a special token is, 0 elsewhere.

        Args:
            token_ids_0: ids of the first text, or of a whole row.
            token_ids_1: ids of the second text.
            already_has_special_tokens: `token_ids_0` is a whole row, whose special tokens are told
                by their ids; else the mask is that of the row the texts will make.

        Raises:
            ValueError: a whole row and a second text.
        """
        if already_has_special_tokens:
            if token_ids_1 is not None:
                raise ValueError(
                    "token_ids_1 goes with already_has_special_tokens=False; a row that has its "
                    "special tokens is given whole, as token_ids_0"
                )
            special = set(self.all_special_ids)
            return [1 if index in special else 0 for index in to_ids(token_ids_0)]
        mask = [1, *[0] * len(token_ids_0), 1]
        return mask if token_ids_1 is None else [*mask, *[0] * len(token_ids_1), 1]

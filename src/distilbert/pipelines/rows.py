"""Texts to rows of ids, by a tokenizer."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from distilbert.pipelines.inputs import Count, characters, until_full
from distilbert.pipelines.running import Row

if TYPE_CHECKING:
    from distilbert.tokenization.tokenizer import BertStyleTokenizer

_CHARACTERS_ENCODED = 100_000  # at a time: not all rows of a request are in memory twice


def rows_of(
    tokenizer: "BertStyleTokenizer",
    texts: Iterable[tuple[str, str | None]],
    limit: int,
    truncation: bool | str,
    count: Count | None,
) -> list[Row]:
    """Encode texts, each with another one or None, as a row each.

    Args:
        limit: most tokens of a row.
        count: is told of the tokens, again and again.

    Raises:
        ValueError: a text without a token, or a row that is too long and not to be cut.
    """
    rows: list[Row] = []
    left = iter(texts)
    while block := [*until_full(left, characters, _CHARACTERS_ENCODED)]:
        made = _at_once(tokenizer, block, limit, truncation)
        if count is not None:
            count(sum(len(row.ids) for row in made))
        rows += made
    return rows


def _at_once(
    tokenizer: "BertStyleTokenizer",
    texts: list[tuple[str, str | None]],
    limit: int,
    truncation: bool | str,
) -> list[Row]:
    pairs: Any = [pair for _, pair in texts]
    encoded = tokenizer(
        [text for text, _ in texts],
        None if all(pair is None for pair in pairs) else pairs,
        truncation=truncation,
        max_length=limit if truncation else None,
        return_token_type_ids=True,
        return_attention_mask=False,
        verbose=False,
    )
    rows = [
        Row(*both) for both in zip(encoded["input_ids"], encoded["token_type_ids"], strict=True)
    ]
    special = [tokenizer.num_special_tokens_to_add(pair=pair) for pair in (False, True)]
    for (text, pair), row in zip(texts, rows, strict=True):
        if len(row.ids) <= special[pair is not None]:
            raise ValueError(f"the text {text!r:.80} has no tokens")
        if len(row.ids) > limit:
            raise ValueError(
                f"the text {text!r:.80} has {len(row.ids)} tokens, and at most {limit} fit: "
                "shorten it, or set truncation to have its end cut off"
            )
    return rows

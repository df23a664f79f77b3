"""A vocabulary cut down to what some text needs."""

import copy
import string
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from distilbert.tokenization.tokenizer import BertStyleTokenizer

_Tokenizer = TypeVar("_Tokenizer", bound=BertStyleTokenizer)


def needed_ids(
    tokenizer: BertStyleTokenizer,
    counts: NDArray[np.int64],
    letters: Iterable[str] = (),
    *,
    min_frequency: int = 1,
    size: int | None = None,
) -> list[int]:
    """Choose the tokens that a text needs, in the order of their ids.

    Special and added tokens stay, and single characters of the text and of ASCII, so that words
    whose pieces are left out fall into letters, not into `[UNK]`.

    Args:
        counts: (V,), how often each token is in the text.
        letters: of its unknown words, which no token shows.
        min_frequency: how often others must be there.
        size: at most so many are chosen, the most frequent; more if those that stay are more.
    """
    tokens = {index: token for token, index in tokenizer.get_vocab().items()}
    prefix = tokenizer.init_kwargs["continuing_subword_prefix"]
    pieces = {index: token.removeprefix(prefix) or token for index, token in tokens.items()}
    alphabet = {*string.ascii_letters, *string.digits, *string.punctuation, *letters}
    for index in np.flatnonzero(counts).tolist():
        alphabet.update(pieces[index])
    stay = {index for index, piece in pieces.items() if piece in alphabet}
    stay.update(tokenizer.added_tokens_decoder, tokenizer.all_special_ids)
    by_frequency = np.argsort(-counts, kind="stable").tolist()
    others = [i for i in by_frequency if counts[i] >= min_frequency and i not in stay]
    room = len(others) if size is None else max(0, size - len(stay))
    return sorted([*stay, *others[:room]])


def trimmed(tokenizer: _Tokenizer, ids: Sequence[int]) -> _Tokenizer:
    """Return a tokenizer that has some of another's tokens, numbered anew in the order given.

    A text whose tokens are all among them, and none of which is `[UNK]`, is cut as before.

    Args:
        ids: ascending; those of special and added tokens have to be among them.
    """
    spec = tokenizer._spec
    new_id = {old: new for new, old in enumerate(ids)}
    vocab = {token: new_id[old] for token, old in spec.vocab.items() if old in new_id}
    added = {new_id[old]: token for old, token in tokenizer.added_tokens_decoder.items()}
    smaller = copy.deepcopy(tokenizer)
    smaller._start(replace(spec, vocab=vocab, added=added))
    return smaller

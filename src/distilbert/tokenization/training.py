"""Learning a WordPiece vocabulary from text with the Rust library, the same one every time.

Its trainer numbers the alphabet in the order of a hash table, and breaks ties by those numbers.
Here the alphabet is found first and handed over in order, so that nothing is left to chance.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from tokenizers import models, trainers

from distilbert.tokenization.rust_engine import cutting_words
from distilbert.tokenization.spec import Spec
from distilbert.tokenization.text import check_text

Texts: TypeAlias = Iterable[str | Sequence[str]]


def train_vocab(
    texts: Texts,
    spec: Spec,
    specials: Sequence[str],
    *,
    vocab_size: int,
    min_frequency: int = 0,
    length: int | None = None,
    show_progress: bool = False,
) -> dict[str, int]:
    """Return a vocabulary: special tokens, alphabet, continuations, joined pieces.

    Args:
        texts: read twice, so an iterator is kept in memory.
        spec: says how text is normalised.
        specials: the first ids.
        length: how many texts there are, for the progress bars.

    Raises:
        TypeError: something else than texts or batches of them.
        ValueError: there is no text, or one has a lone surrogate.
    """
    if isinstance(texts, str | bytes | Mapping):
        raise _no_texts(texts)
    try:
        once = iter(texts) is texts  # also what has only __getitem__
    except TypeError as error:
        raise _no_texts(texts) from error
    if once:
        texts = list(texts)
    alphabet = _alphabet(texts, spec)
    if not alphabet:
        raise ValueError("there is no text to learn a vocabulary from")
    first = list(dict.fromkeys([*specials, *alphabet]))
    learner = cutting_words(models.WordPiece(unk_token=spec.unk_token), spec)
    trainer = trainers.WordPieceTrainer(
        vocab_size=vocab_size,
        min_frequency=min_frequency,
        special_tokens=first,
        continuing_subword_prefix=spec.continuing_subword_prefix,
        show_progress=show_progress,
    )
    learner.train_from_iterator(_flat(texts), trainer, length)
    learned = learner.get_vocab(with_added_tokens=False)
    rest = sorted(learned.keys() - set(first), key=learned.__getitem__)
    return {token: index for index, token in enumerate([*first, *rest])}


def _alphabet(texts: Texts, spec: Spec) -> list[str]:
    """Return every character of the normalised words, then every one that continues a word."""
    counter = cutting_words(models.WordLevel(unk_token=spec.unk_token), spec)
    counter.train_from_iterator(
        _flat(texts),
        trainers.WordLevelTrainer(vocab_size=1 << 31, special_tokens=[], show_progress=False),
    )
    whole: set[str] = set()
    continuing: set[str] = set()
    for word in counter.get_vocab(with_added_tokens=False):
        whole.update(word)
        continuing.update(word[1:])
    prefix = spec.continuing_subword_prefix
    return [*sorted(whole), *(prefix + character for character in sorted(continuing))]


def _flat(texts: Texts) -> Iterator[str]:
    for item in texts:
        for text in [item] if isinstance(item, str) else _batch(item):
            yield check_text(text)


def _batch(item: Any) -> Collection[str]:
    """Return a batch of texts; one that can be read only once is none, for they are read twice."""
    if isinstance(item, Mapping | bytes) or not isinstance(item, Collection):
        raise _no_texts(item)
    return item


def _no_texts(given: Any) -> TypeError:
    return TypeError(
        f"expected texts or lists of texts, not {given!r:.80} ({type(given).__name__}); of a data "
        "set give the column, dataset['text'], and of one text a list"
    )

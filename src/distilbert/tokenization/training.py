"""Learning a WordPiece vocabulary from text with the Rust library, the same one every time.

Its trainer numbers the alphabet in the order of a hash table, and breaks ties by those numbers.
Here the alphabet is found first and handed over in order, so that nothing is left to chance.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import TypeAlias

from tokenizers import models, trainers

from distilbert.tokenization.rust_engine import cutting_words
from distilbert.tokenization.spec import Spec

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
        ValueError: there is no text.
    """
    if iter(texts) is texts:
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
        if isinstance(item, str):
            yield item
        else:
            yield from item

"""Tags of tokens (IOB1, IOB2 or BIO, IOBES) to entities, and their F1.

What an entity is follows conlleval, the script of CoNLL-2000 to 2003 (W03-0419): it starts at B or
S, at I or E after O, and where the type changes. So no scheme need be named to read tags.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

_PREFIXES = ("B", "I", "E", "S")


class Entity(NamedTuple):
    """Tokens `start` to `end - 1` are an entity of this type."""

    type: str
    start: int
    end: int


class EntityScore(NamedTuple):
    """Fractions; `support` counts the true entities, `predicted` those found."""

    precision: float
    recall: float
    f1: float
    support: int
    predicted: int


def split_tag(tag: str) -> tuple[str, str]:
    """Return the prefix and the type of a tag; without a prefix it counts as inside (I).

    >>> split_tag("B-PER"), split_tag("O"), split_tag("PER")
    (('B', 'PER'), ('O', ''), ('I', 'PER'))
    """
    if tag == "O":
        return "O", ""
    prefix, hyphen, name = tag.partition("-")
    return (prefix, name) if hyphen and prefix in _PREFIXES else ("I", tag)


def entities(tags: Iterable[str]) -> list[Entity]:
    """Return the entities of a sentence, in order.

    >>> entities(["B-PER", "I-PER", "O", "I-LOC", "B-LOC", "I-ORG"])  # doctest: +ELLIPSIS
    [Entity(type='PER', start=0, end=2), Entity(type='LOC', start=3, end=4), ...]
    """
    found: list[Entity] = []
    start, before, kind = 0, "O", ""
    at = -1
    for at, tag in enumerate(tags):
        prefix, name = split_tag(tag)
        begins = prefix in ("B", "S") or before in ("O", "E", "S") or name != kind
        if before != "O" and (prefix == "O" or begins):
            found.append(Entity(kind, start, at))
        if prefix != "O" and begins:
            start = at
        before, kind = prefix, name
    if before != "O":
        found.append(Entity(kind, start, at + 1))
    return found


def entity_scores(
    predictions: Sequence[Sequence[str]], labels: Sequence[Sequence[str]]
) -> tuple[EntityScore, dict[str, EntityScore]]:
    """Score the entities of sentences by conlleval's rules: right means same tokens, same type.

    Args:
        predictions, labels: tags, sentence by sentence.

    Returns:
        The score of all entities together (micro average), and by type in alphabetical order.

    Raises:
        ValueError: a different number of sentences, or of tags in one.

    >>> entity_scores([["B-PER", "O"]], [["B-PER", "B-LOC"]])[0].f1
    0.6666666666666666
    """
    if len(predictions) != len(labels):
        raise ValueError(
            f"there are {len(predictions)} sentences of predictions and {len(labels)} of labels"
        )
    right, found, true = Counter[str](), Counter[str](), Counter[str]()
    for i, (ours, theirs) in enumerate(zip(predictions, labels, strict=True)):
        if len(ours) != len(theirs):
            raise ValueError(f"sentence {i} has {len(theirs)} labels and {len(ours)} predictions")
        guesses, facts = set(entities(ours)), set(entities(theirs))
        right.update(each.type for each in guesses & facts)
        found.update(each.type for each in guesses)
        true.update(each.type for each in facts)
    kinds = sorted(found.keys() | true.keys())
    by_type = {kind: _score(right[kind], found[kind], true[kind]) for kind in kinds}
    return _score(right.total(), found.total(), true.total()), by_type


def _score(right: int, found: int, true: int) -> EntityScore:
    f1 = 2 * right / (found + true) if found + true else 0.0
    return EntityScore(
        right / found if found else 0.0, right / true if true else 0.0, f1, true, found
    )

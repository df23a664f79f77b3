"""More training texts by putting other words in place of some: a masked LM proposes them.

TinyBERT's idea (arXiv 1909.10351, section 3.3 and algorithm 1), for words of one piece. Several
words of a text are masked at once, far apart, so that a text costs a few passes however long it is.
"""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from itertools import chain

import numpy as np
import torch

from distilbert.distillation.masking import IGNORED
from distilbert.distillation.randomness import generator
from distilbert.distillation.step import encode, flat
from distilbert.distillation.vocabulary import vocab_size_of
from distilbert.modeling.heads import MaskedLM
from distilbert.tasks.batches import in_order
from distilbert.tasks.features import Features, flatten
from distilbert.tokenization.characters import CHINESE
from distilbert.tokenization.tokenizer import BertStyleTokenizer

RATE = 0.4  # the share of words that are replaced
PROPOSALS = 15  # words to choose from
_APART = 7  # words between two that are masked at once
_SENTENCES = 512  # at a time
_PLACES = 1024  # masked words whose logits are made at a time

Proposals = dict[int, list[str]]

_SPACED = re.compile(r"\S+")
_WORDS = re.compile(rf"[{CHINESE}]|[^\s{CHINESE}]+")
_CHINESE = re.compile(f"[{CHINESE}]")


def augment_texts(
    model: MaskedLM,
    tokenizer: BertStyleTokenizer,
    texts: Sequence[str],
    copies: int,
    *,
    seed: int,
    batch_tokens: int,
) -> list[str]:
    """Return copies of texts as `augment` does; all but the replaced words stays as it is.

    Words are between spaces, and every Chinese character is one, if it is to the tokenizer.
    """
    pattern = _WORDS if tokenizer.tokenize_chinese_chars else _SPACED
    sentences = [pattern.findall(text) for text in texts]
    changed = augment(model, tokenizer, sentences, copies, seed=seed, batch_tokens=batch_tokens)
    result = []
    for number, words in enumerate(changed):
        gaps = pattern.split(texts[number // copies])
        result.append("".join(chain.from_iterable(zip(gaps, [*words, ""], strict=True))))
    return result


def augment(
    model: MaskedLM,
    tokenizer: BertStyleTokenizer,
    sentences: Sequence[Sequence[str]],
    copies: int,
    *,
    seed: int,
    batch_tokens: int,
) -> list[list[str]]:
    """Return copies of sentences with some words replaced, all copies of the first one first.

    The same arguments give the same copies, and every copy has as many words as its sentence.

    Args:
        model: proposes words; in evaluation mode, with the tokenizer's vocabulary.
        sentences: lists of words. Beyond what the model has positions for, words stay.
        batch_tokens: tokens that are computed at a time.
    """
    result = []
    for start in range(0, len(sentences), _SENTENCES):
        part = sentences[start : start + _SENTENCES]
        proposals = propose(model, tokenizer, part, batch_tokens)
        for row, (words, known) in enumerate(zip(part, proposals, strict=True), start):
            for copy in range(copies):
                draw = generator(seed, "augmentation", row, copy)
                changed = list(words)
                for place, others in known.items():
                    if draw.random() < RATE:
                        changed[place] = others[draw.integers(len(others))]
                result.append(changed)
    return result


def propose(
    model: MaskedLM,
    tokenizer: BertStyleTokenizer,
    sentences: Sequence[Sequence[str]],
    batch_tokens: int,
) -> list[Proposals]:
    """Return other words for the words of one piece, the likeliest first, by place."""
    result: list[Proposals] = [{} for _ in sentences]
    rows, labels, places = _masked_rows(model, tokenizer, sentences)
    if not rows:
        return result
    lengths = np.array([len(row) for row in rows], np.int64)
    features = Features(
        flatten(rows), lengths, lengths, flatten(labels).astype(np.int64),
        tokenizer.pad_token_id or 0, has_outputs_per_token=True,
    )  # fmt: skip
    # A model may have more entries than there are tokens.
    entries = vocab_size_of(tokenizer)
    for number, ids in _likeliest(model, features, max(batch_tokens, int(lengths.max())), entries):
        sentence, place = places[number]
        tokens = tokenizer.convert_ids_to_tokens(ids)
        known = sentences[sentence][place].lower()
        words = [token for token in tokens if _is_word(token) and token.lower() != known]
        if _CHINESE.fullmatch(known):  # its neighbours touch it
            words = [word for word in words if _CHINESE.fullmatch(word)]
        if words:
            result[sentence][place] = words[:PROPOSALS]
    return [dict(sorted(each.items())) for each in result]


def _is_word(text: str) -> bool:
    """Whether this is letters, and the marks on them that many scripts write vowels with."""
    if text.isalpha():
        return True
    kinds = {unicodedata.category(character)[0] for character in text}
    return "L" in kinds and kinds <= {"L", "M"}


def _masked_rows(
    model: MaskedLM, tokenizer: BertStyleTokenizer, sentences: Sequence[Sequence[str]]
) -> tuple[list[list[int]], list[list[int]], list[tuple[int, int]]]:
    """Return rows of ids with masks, their labels (numbers of places), and (sentence, word)s."""
    cls_id, sep_id, mask_id = (
        tokenizer.cls_token_id,
        tokenizer.sep_token_id,
        tokenizer.mask_token_id,
    )
    if cls_id is None or sep_id is None or mask_id is None:
        raise ValueError("augmentation needs a tokenizer with [CLS], [SEP] and [MASK]")
    room = model.config.max_position_embeddings - 2
    encoded = tokenizer(
        [list(words) for words in sentences],
        is_split_into_words=True,
        add_special_tokens=False,
        verbose=False,
    )
    rows: list[list[int]] = []
    labels: list[list[int]] = []
    places: list[tuple[int, int]] = []
    for number, words in enumerate(sentences):
        owners = np.array(encoded.word_ids(number)[:room], np.int64)
        ids = [cls_id, *encoded["input_ids"][number][:room], sep_id]
        single = [
            place
            for place in np.flatnonzero(np.bincount(owners, minlength=1) == 1).tolist()
            if _is_word(words[place])
        ]
        for first in range(_APART):
            chosen = [place for place in single if place % _APART == first]
            if not chosen:
                continue
            row, label = list(ids), [IGNORED] * len(ids)
            for place in chosen:
                at = 1 + int(np.searchsorted(owners, place))
                row[at], label[at] = mask_id, len(places)
                places.append((number, place))
            rows.append(row)
            labels.append(label)
    return rows, labels, places


@torch.no_grad()
def _likeliest(
    model: MaskedLM, features: Features, batch_tokens: int, entries: int
) -> Iterator[tuple[int, list[int]]]:
    """Yield the number of each place, and the likeliest there of the first so many ids."""
    for batch in in_order(features, batch_tokens):
        ids = torch.from_numpy(batch.input_ids).to(model.device)
        labels = torch.from_numpy(batch.labels).to(model.device)
        encoded = encode(model, ids, batch.lengths)
        tokens, numbers, _ = flat(encoded, labels)
        rows = (numbers != IGNORED).nonzero().squeeze(1)
        for part in rows.split(_PLACES):
            logits = model.vocab_projector(model.decoder_states(tokens[part]))[:, :entries]
            best = logits.topk(min(2 * PROPOSALS, logits.shape[1]), -1).indices
            yield from zip(numbers[part].tolist(), best.tolist(), strict=True)

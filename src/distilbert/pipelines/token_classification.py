"""Labels of tokens, and the entities that they make, with their place in the text."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from distilbert.fields import integer, one_of, optional
from distilbert.foreign_options import Table
from distilbert.pipelines.flow import Encoded, Pipeline, softmax
from distilbert.pipelines.inputs import Count, text_of, words
from distilbert.pipelines.options import Options
from distilbert.pipelines.running import Outputs, Row
from distilbert.tasks.entities import split_tag
from distilbert.tokenization.truncation import tokens_in_windows

STRATEGIES = ("none", "simple", "first", "average", "max")


@dataclass(frozen=True)
class TokenClassificationOptions(Options):
    """What token classification can be told.

    Args:
        aggregation_strategy: "none" answers per token; "simple" joins tokens of one entity;
            "first", "average" and "max" do so after each word has been given one label: that of
            its first token, of the mean of its tokens' scores, of its surest token.
        ignore_labels: labels, or types of entities, that are left out.
        stride: tokens that consecutive windows of a long text share; a quarter of a window by
            default.
    """

    aggregation_strategy: str = "none"
    ignore_labels: Sequence[str] = ("O",)
    stride: int | None = None

    checks = Options.checks | {
        "aggregation_strategy": one_of(*STRATEGIES),
        "ignore_labels": words,
        "stride": optional(integer(0)),
    }


class Tokens(NamedTuple):
    """A whole text, cut into tokens, without special ones."""

    text: str
    ids: list[int]
    chars: list[tuple[int, int]]
    words: list[int]
    stride: int


class Unit(NamedTuple):
    """A token or a word, with its label."""

    label: str
    score: float
    tokens: list[str]
    start: int
    end: int
    place: int


class TokenClassificationPipeline(Pipeline):
    """Finds names and the like: a list of dicts per text, in the order of the text.

    Without aggregation there is one per token: `entity` (label), `score` (probability), `index`
    (place among the tokens, [CLS] being 0), `word` (the token), `start` and `end` (characters).
    With it there is one per entity, with `entity_group` (type) instead of `entity` and `index`.
    Where entities begin and end follows conlleval (`distilbert.tasks.entities`).

    A text of any length is read in windows, and each token taken from the window in which it is
    farther from an edge.

    Args:
        model, tokenizer, config, batch_tokens, read_ahead: see
            `distilbert.pipelines.flow.Pipeline`.
        options: `aggregation_strategy` ("none"; or "simple", "first", "average", "max"),
            `ignore_labels` (["O"]), `max_length` (of a window, by default what the model takes),
            `stride` (tokens that two windows share, a quarter of a window).

    Example:
        >>> import numpy as np
        >>> from distilbert import (
        ...     DistilBertConfig, DistilBertTokenizer, TokenClassificationPipeline,
        ... )
        >>> words = "[PAD] [UNK] [CLS] [SEP] [MASK] anna ##bel lee smiled".split()
        >>> tokenizer = DistilBertTokenizer({word: i for i, word in enumerate(words)})
        >>> def model(input_ids, attention_mask):  # any callable in the place of a model
        ...     return np.stack([input_ids == 8, input_ids == 5, np.isin(input_ids, (6, 7))], -1)
        >>> config = DistilBertConfig(id2label={0: "O", 1: "B-PER", 2: "I-PER"})
        >>> tag = TokenClassificationPipeline(model, tokenizer, config=config)
        >>> found = tag("Annabel Lee smiled", aggregation_strategy="simple")
        >>> [(each["entity_group"], each["start"], each["end"]) for each in found]
        [('PER', 0, 11)]
    """

    task = "token-classification"
    head = "ForTokenClassification"
    options_class = TokenClassificationOptions
    foreign: ClassVar[Table] = {
        "delimiter": ((None,), "join the words of a text with it"),
        "grouped_entities": ((None, False), 'say aggregation_strategy="simple"'),
        "ignore_subwords": ((None, False), 'say aggregation_strategy="first"'),
        "is_split_into_words": ((None, False), "join the words of a text with spaces"),
        "offset_mapping": ((None,), "leave it out, places in the text are always found"),
    }

    def _check_options(self, options: TokenClassificationOptions) -> None:
        super()._check_options(options)
        size = self._limit(options) - self.tokenizer.num_special_tokens_to_add()
        if size < 1 or (options.stride is not None and options.stride >= size):
            raise ValueError(
                f"stride={options.stride} must be from 0 to below the {size} tokens of text in a "
                "window"
            )

    def _read(self, item: Any, options: TokenClassificationOptions) -> str:
        return text_of(item)

    def _encode(
        self, items: list[str], options: TokenClassificationOptions, count: Count | None
    ) -> list[Encoded]:
        limit = self._limit(options)
        stride = limit // 4 if options.stride is None else options.stride
        if count is not None:
            special = self.tokenizer.num_special_tokens_to_add()
            for ids in self.tokenizer(items, add_special_tokens=False, verbose=False)["input_ids"]:
                count(tokens_in_windows(len(ids), limit - special, stride, special))
        rows = self.tokenizer(
            items,
            truncation=True,
            truncation_side="right",
            max_length=limit,
            stride=stride,
            return_overflowing_tokens=True,
            return_offsets_mapping=True,
            return_token_type_ids=True,
            verbose=False,
        )
        found = [Encoded([], Tokens(text, [], [], [], stride)) for text in items]
        for r, owner in enumerate(rows["overflow_to_sample_mapping"]):
            encoded = found[owner]
            ids = rows["input_ids"][r]
            new = slice(1 + (stride if encoded.rows else 0), -1)
            encoded.rows.append(Row(ids, rows["token_type_ids"][r]))
            encoded.source.ids.extend(ids[new])
            encoded.source.chars.extend(rows["offset_mapping"][r][new])
            encoded.source.words.extend(rows.word_ids(r)[new])
        for encoded in found:
            if not encoded.source.ids:
                raise ValueError(f"the text {encoded.source.text!r:.80} has no tokens")
        return found

    def _take(self, row: Row, source: Tokens, outputs: Outputs) -> NDArray[Any]:
        return self._label_logits(outputs["logits"][1 : len(row.ids) - 1], 2)

    def _decode(
        self, encoded: Encoded, kept: list[Any], options: TokenClassificationOptions
    ) -> list[dict[str, Any]]:
        tokens: Tokens = encoded.source
        scores = softmax(_join(kept, tokens.stride))  # (T, labels)
        strategy = options.aggregation_strategy
        by_word = strategy not in ("none", "simple")
        units = [
            self._unit(tokens, scores, first, last, strategy)
            for first, last in _spans(tokens.words if by_word else range(len(tokens.ids)))
        ]
        ignored = set(options.ignore_labels)
        if strategy == "none":
            return [
                {
                    "entity": unit.label,
                    "score": unit.score,
                    "index": unit.place,
                    "word": unit.tokens[0],
                    "start": unit.start,
                    "end": unit.end,
                }
                for unit in units
                if unit.label not in ignored
            ]
        groups = [self._group(group) for group in _entities(units)]
        return [group for group in groups if group["entity_group"] not in ignored]

    def _unit(
        self, tokens: Tokens, scores: NDArray[Any], first: int, last: int, strategy: str
    ) -> Unit:
        """Label tokens `first` to `last - 1`."""
        those = scores[first:last]
        if strategy == "average":
            chosen = those.mean(0)
        elif strategy == "max":
            chosen = those[those.max(1).argmax()]
        else:
            chosen = those[0]
        label = int(chosen.argmax())
        start, end = tokens.chars[first][0], tokens.chars[last - 1][1]
        return Unit(
            self.config.id2label[label],
            float(chosen[label]),
            [self._spelling(tokens, i) for i in range(first, last)],
            start,
            end,
            first + 1,
        )

    def _spelling(self, tokens: Tokens, i: int) -> str:
        """Return a token, or the text where the vocabulary has none."""
        if tokens.ids[i] == self.tokenizer.unk_token_id:
            return tokens.text[slice(*tokens.chars[i])]
        return self.tokenizer.convert_ids_to_tokens(tokens.ids[i])

    def _joined(self, tokens: list[str]) -> str:
        """Spell tokens as the Rust library's decoder does: no space before punctuation."""
        behind = [self.tokenizer.convert_tokens_to_string(["x", t])[1:] for t in tokens[1:]]
        return "".join(map(self.tokenizer.clean_up_tokenization, [tokens[0], *behind]))

    def _group(self, units: list[Unit]) -> dict[str, Any]:
        kind = split_tag(units[0].label)[1] or units[0].label
        return {
            "entity_group": kind,
            "score": float(np.mean([unit.score for unit in units])),
            "word": self._joined([token for unit in units for token in unit.tokens]),
            "start": units[0].start,
            "end": units[-1].end,
        }


def _join(windows: list[NDArray[Any]], stride: int) -> NDArray[Any]:
    """Join the logits of windows that share `stride` tokens: each from the better one."""
    before, after = stride - stride // 2, stride // 2
    last = len(windows) - 1
    return np.concatenate(
        [
            window[after if w else 0 : len(window) - (before if w < last else 0)]
            for w, window in enumerate(windows)
        ]
    )


def _spans(words: Sequence[int]) -> list[tuple[int, int]]:
    """Return where each run of equal numbers begins and ends."""
    starts = [i for i in range(len(words)) if not i or words[i] != words[i - 1]]
    return list(zip(starts, [*starts[1:], len(words)], strict=True))


def _entities(units: list[Unit]) -> list[list[Unit]]:
    """Group consecutive units of one entity; what is outside makes groups too."""
    groups: list[list[Unit]] = []
    before = ("", "")
    for unit in units:
        prefix, kind = split_tag(unit.label)
        goes_on = kind == before[1] and prefix not in ("B", "S") and before[0] not in ("E", "S")
        if groups and goes_on:
            groups[-1].append(unit)
        else:
            groups.append([unit])
        before = (prefix, kind)
    return groups

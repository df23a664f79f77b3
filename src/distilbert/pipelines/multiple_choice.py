"""Which of several endings or answers belongs to a text."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from distilbert.pipelines.flow import Encoded, Pipeline, softmax
from distilbert.pipelines.inputs import Count, text_of
from distilbert.pipelines.options import Options


@dataclass(frozen=True)
class MultipleChoiceOptions(Options):
    """What multiple choice can be told.

    Args:
        truncation: whether the longer text of a pair that is too long is cut off at its end.
    """

    truncation: bool = False


class MultipleChoicePipeline(Pipeline):
    """Chooses among any number of continuations of a text.

    An input is `{"text": …, "choices": [...]}`, or a tuple of both. The answer is a dict with
    `choice` (the text), `index`, `score` (its probability) and `scores` (of all choices).

    Args:
        model, tokenizer, config, batch_tokens, read_ahead: see
            `distilbert.pipelines.flow.Pipeline`. The model is called with (B, 1, T): its
            score of a choice does not depend on the others.
        options: `max_length`; with `truncation` a long pair is cut, else refused.

    Example:
        >>> from distilbert import DistilBertConfig, DistilBertTokenizer, MultipleChoicePipeline
        >>> words = "[PAD] [UNK] [CLS] [SEP] [MASK] a cat meows barks".split()
        >>> tokenizer = DistilBertTokenizer({word: i for i, word in enumerate(words)})
        >>> def model(input_ids, attention_mask):  # any callable in the place of a model
        ...     return (input_ids == 7).sum(-1)
        >>> choose = MultipleChoicePipeline(model, tokenizer, config=DistilBertConfig())
        >>> choose({"text": "a cat", "choices": ["barks", "meows"]})["choice"]
        'meows'
    """

    task = "multiple-choice"
    head = "ForMultipleChoice"
    options_class = MultipleChoiceOptions
    with_choices = True
    _expected = "a dict with text and choices, or an iterable of these"

    def _is_one(self, inputs: Any) -> bool:
        return isinstance(inputs, Mapping | tuple)

    def _read(self, item: Any, options: MultipleChoiceOptions) -> tuple[str, list[str]]:
        if isinstance(item, Mapping):
            if item.keys() != {"text", "choices"}:
                raise ValueError(f"expected the keys text and choices, got {list(item)}")
            item = (item["text"], item["choices"])
        if not isinstance(item, tuple) or len(item) != 2 or not isinstance(item[1], list | tuple):
            raise TypeError(f"expected a text and a list of choices, not {item!r:.60}")
        if len(item[1]) < 2:
            raise ValueError(f"there must be at least two choices, got {len(item[1])}")
        return text_of(item[0]), [text_of(choice, "a choice") for choice in item[1]]

    def _encode(
        self, items: list[Any], options: MultipleChoiceOptions, count: Count | None
    ) -> list[Encoded]:
        pairs = ((text, choice) for text, choices in items for choice in choices)
        rows = iter(self._rows(pairs, options, options.truncation, count))
        return [Encoded([next(rows) for _ in choices], choices) for _, choices in items]

    def _take(self, row: Any, source: Any, outputs: Any) -> Any:
        logits = outputs["logits"]
        if logits.shape != (1,):
            raise ValueError(
                f"the model gave logits of shape {logits.shape} for one choice: multiple-choice "
                "needs a …ForMultipleChoice model"
            )
        return logits[0]

    def _decode(self, encoded: Encoded, kept: list[Any], options: MultipleChoiceOptions) -> Any:
        scores = softmax(np.array(kept))
        best = int(scores.argmax())
        return {
            "choice": encoded.source[best],
            "index": best,
            "score": float(scores[best]),
            "scores": scores.tolist(),
        }

"""Labels and scores of texts, or of pairs of texts."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from distilbert.errors import reworded
from distilbert.fields import integer, one_of, optional, string
from distilbert.foreign_options import Table
from distilbert.pipelines.flow import Encoded, Pipeline, softmax
from distilbert.pipelines.inputs import Count, text_of
from distilbert.pipelines.options import Options

FUNCTIONS = ("softmax", "sigmoid", "none")


def _labels_per_text(name: str, value: Any) -> Any:
    """None, "best", or how many labels."""
    if value is None or value == "best":
        return value
    try:
        return integer(1)(name, value)
    except (TypeError, ValueError) as error:
        raise reworded(
            error,
            f"{error}; None (null in JSON) gives all labels, 'best' the best one without a list",
        ) from None


@dataclass(frozen=True)
class TextClassificationOptions(Options):
    """What text classification can be told.

    Args:
        top_k: labels per text, as a list, the likeliest first; None gives all of them, "best" the
            likeliest without a list.
        function_to_apply: what makes scores of logits: "softmax", "sigmoid" or "none".
        truncation: whether the end of a text that is too long is cut off.
        text_pair: the second text of each input that has none.
    """

    top_k: int | str | None = "best"
    function_to_apply: str | None = None
    truncation: bool = False
    text_pair: str | None = None

    checks = Options.checks | {
        "text_pair": optional(string),
        "top_k": _labels_per_text,
        "function_to_apply": optional(one_of(*FUNCTIONS)),
    }


class TextClassificationPipeline(Pipeline):
    """Labels texts, or pairs given as `{"text": …, "text_pair": …}` or a tuple of two.

    The answer is a dict with `label` and `score`, for a text that comes alone a list of it; with
    `top_k` it is a list of dicts, the likeliest first. The score is a probability: over all labels,
    or of each on its own where `config.problem_type` says multi-label or there is one label; with
    "regression" it is the value itself. One text of a pair may be empty.

    Args:
        model, tokenizer, config, batch_tokens, read_ahead: see
            `distilbert.pipelines.flow.Pipeline`.
        options: `top_k` (None for all labels), `function_to_apply` ("softmax", "sigmoid",
            "none"; by default what the configuration says), `max_length`, `text_pair` (the second
            text of inputs that have none); with `truncation` a long text is cut, else refused.

    Example:
        >>> import numpy as np
        >>> from distilbert import DistilBertConfig, DistilBertTokenizer, TextClassificationPipeline
        >>> words = "[PAD] [UNK] [CLS] [SEP] [MASK] good bad film".split()
        >>> tokenizer = DistilBertTokenizer({word: i for i, word in enumerate(words)})
        >>> def model(input_ids, attention_mask):  # any callable in the place of a model
        ...     return np.stack([(input_ids == 6).sum(1), (input_ids == 5).sum(1)], 1)
        >>> config = DistilBertConfig(id2label={0: "NEGATIVE", 1: "POSITIVE"})
        >>> classify = TextClassificationPipeline(model, tokenizer, config=config)
        >>> [each["label"] for each in classify(["good film", "bad film"])]
        ['POSITIVE', 'NEGATIVE']
    """

    task = "text-classification"
    head = "ForSequenceClassification"
    options_class = TextClassificationOptions
    foreign: ClassVar[Table] = {"return_all_scores": ((None, False), "say top_k=None")}
    _expected = (
        "a text, a pair (a dict with text and text_pair, or a tuple), or an iterable of these"
    )

    def _is_one(self, inputs: Any) -> bool:
        return isinstance(inputs, Mapping | tuple)

    def _alone(self, item: Any, answer: Any) -> Any:
        return [answer] if isinstance(item, str) and isinstance(answer, dict) else answer

    def _read(self, item: Any, options: TextClassificationOptions) -> tuple[str, str | None]:
        if isinstance(item, Mapping):
            unknown = item.keys() - {"text", "text_pair"}
            if unknown or "text" not in item:
                raise ValueError(f"expected the keys text and text_pair, got {list(item)}")
            item = (item["text"], item.get("text_pair"))
        elif isinstance(item, str):
            item = (item, None)
        if not isinstance(item, tuple) or len(item) != 2:
            raise TypeError(
                "expected a text, or two as a dict with text and text_pair or as a tuple, not "
                f"{item!r:.60}"
            )
        text, pair = item
        if pair is None:
            pair = options.text_pair
        if pair is None:
            return text_of(text), None
        text_of(text, may_be_empty=True)
        text_of(pair, "the second text", may_be_empty=True)
        if not text.strip() and not pair.strip():
            raise ValueError("both texts of the pair are empty")
        return text, pair

    def _encode(
        self, items: list[Any], options: TextClassificationOptions, count: Count | None
    ) -> list[Encoded]:
        rows = self._rows(items, options, options.truncation, count)
        return [Encoded([row], None) for row in rows]

    def _take(self, row: Any, source: Any, outputs: Any) -> Any:
        return self._label_logits(outputs["logits"], 1)

    def _decode(self, encoded: Encoded, kept: list[Any], options: TextClassificationOptions) -> Any:
        scores = self._scores(kept[0], options)
        count = 1 if options.top_k == "best" else options.top_k
        best = np.argsort(-scores, kind="stable")[:count]
        found = [
            {"label": self.config.id2label[i], "score": float(scores[i])} for i in best.tolist()
        ]
        return found[0] if options.top_k == "best" else found

    def _scores(self, logits: Any, options: TextClassificationOptions) -> Any:
        kind = self.config.problem_type
        function = options.function_to_apply
        if function is None and kind == "regression":
            function = "none"
        elif function is None:
            alone = kind == "multi_label_classification" or len(logits) == 1
            function = "sigmoid" if alone else "softmax"
        if function == "softmax":
            return softmax(logits)
        if function == "sigmoid":
            return softmax(np.stack([np.zeros_like(logits), logits], -1))[:, 1]
        return logits

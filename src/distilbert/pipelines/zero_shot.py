"""Labels that no one trained, by a model of natural-language inference (arXiv 1909.00161)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from distilbert.fields import boolean
from distilbert.foreign_options import Table
from distilbert.pipelines.flow import Encoded, Pipeline, softmax
from distilbert.pipelines.inputs import Count, text_of, words
from distilbert.pipelines.options import Options


def _labels(name: str, value: Any) -> tuple[str, ...]:
    """Labels of any iterable, or of a string with commas between them."""
    if isinstance(value, str):
        value = [label.strip() for label in value.split(",") if label.strip()]
    return tuple(text_of(label, "a candidate label") for label in words(name, value))


def _template(name: str, value: Any) -> str:
    """A sentence with a place for the label."""
    if not isinstance(value, str) or value.count("{}") != 1:
        raise ValueError(f"{name}={value!r:.80} must have {{}} where the label goes, once")
    return value


@dataclass(frozen=True)
class ZeroShotOptions(Options):
    """What zero-shot classification can be told.

    Args:
        candidate_labels: a list, or a string with commas between them.
        hypothesis_template: a sentence with {} where the label goes.
        multi_label: whether several labels may be true; each then has a probability of its own.
        truncation: whether the end of a text that is too long is cut off (never the hypothesis).
    """

    candidate_labels: str | Sequence[str] = ()
    hypothesis_template: str = "This example is {}."
    multi_label: bool = False
    truncation: bool = False

    checks = Options.checks | {
        "candidate_labels": _labels,
        "hypothesis_template": _template,
        "multi_label": boolean,
        "truncation": boolean,
    }


class ZeroShotClassificationPipeline(Pipeline):
    """Chooses among labels that are named in the call, with a model trained on NLI.

    "Does the text entail the hypothesis?" is asked for each label. The answer is a dict with
    `sequence` (the text), `labels` (the likeliest first) and `scores`: probabilities over the
    labels, or with `multi_label` of each label against its contradiction.

    Args:
        model, tokenizer, config, batch_tokens, read_ahead: see
            `distilbert.pipelines.flow.Pipeline`. The labels of the configuration must name
            entailment.
        options: `candidate_labels` (a list, or a string with commas), `hypothesis_template`
            ("This example is {}."), `multi_label`, `max_length`; with `truncation` a long text
            is cut, else refused.

    Raises:
        ValueError: no candidate labels, a template without {}, or a model whose labels do not name
            entailment.

    Example:
        >>> import numpy as np
        >>> from distilbert import (
        ...     DistilBertConfig, DistilBertTokenizer, ZeroShotClassificationPipeline,
        ... )
        >>> words = "[PAD] [UNK] [CLS] [SEP] [MASK] goals win sport art".split()
        >>> tokenizer = DistilBertTokenizer({word: i for i, word in enumerate(words)})
        >>> def model(input_ids, attention_mask):  # any callable in the place of a model
        ...     sport = (input_ids == 7).sum(1)
        ...     return np.stack([-sport, sport], 1)
        >>> config = DistilBertConfig(id2label={0: "contradiction", 1: "entailment"})
        >>> classify = ZeroShotClassificationPipeline(model, tokenizer, config=config)
        >>> classify("goals win", candidate_labels=["art", "sport"])["labels"]
        ['sport', 'art']
    """

    task = "zero-shot-classification"
    head = "ForSequenceClassification"
    options_class = ZeroShotOptions
    foreign: ClassVar[Table] = {"multi_class": ((None,), "say multi_label=…")}

    def __call__(
        self,
        inputs: Any = None,
        candidate_labels: str | Sequence[str] | None = None,
        *,
        sequences: Any = None,
        progress: bool = False,
        **options: Any,
    ) -> Any:
        """As `distilbert.pipelines.flow.Pipeline`.

        Args:
            candidate_labels: the option, which may come second.
            sequences: another name of `inputs`.
        """
        if (inputs is None) == (sequences is None):
            raise ValueError("give a text, or an iterable of texts, as inputs or as sequences")
        if candidate_labels is not None:
            options["candidate_labels"] = candidate_labels
        texts = sequences if inputs is None else inputs
        return super().__call__(texts, progress=progress, **options)

    def _check_options(self, options: ZeroShotOptions) -> None:
        super()._check_options(options)
        self._entailment()
        if options.multi_label or len(options.candidate_labels) == 1:
            self._contradiction()

    def _entailment(self) -> int:
        found = [i for i, name in self.config.id2label.items() if name.lower().startswith("entail")]
        if len(found) != 1:
            raise ValueError(
                "no label of the model is named entailment, but "
                f"{', '.join(self.config.id2label.values())}: zero-shot-classification needs a "
                "model trained on natural-language inference; if it is one, set config.id2label"
            )
        return found[0]

    def _contradiction(self) -> int:
        """Return the label named so, or of two labels the other one."""
        names, entailment = self.config.id2label, self._entailment()
        found = [i for i, name in names.items() if name.lower().startswith("contradict")]
        if not found and len(names) == 2:
            found = [i for i in names if i != entailment]
        if len(found) != 1:
            raise ValueError(
                "multi_label=True, or a single candidate label, needs a label of the model named "
                f"contradiction; there are {', '.join(names.values())}"
            )
        return found[0]

    def _read(self, item: Any, options: ZeroShotOptions) -> str:
        if not options.candidate_labels:
            raise ValueError('candidate_labels is empty: pass it, such as ["sport", "politics"]')
        return text_of(item)

    def _size(self, item: str, options: ZeroShotOptions) -> int:
        return len(options.candidate_labels) * (len(item) + len(options.hypothesis_template))

    def _encode(
        self, items: list[str], options: ZeroShotOptions, count: Count | None
    ) -> list[Encoded]:
        labels, template = options.candidate_labels, options.hypothesis_template
        pairs = ((text, template.replace("{}", label)) for text in items for label in labels)
        truncation = "only_first" if options.truncation else False
        rows = iter(self._rows(pairs, options, truncation, count))
        return [Encoded([next(rows) for _ in labels], text) for text in items]

    def _take(self, row: Any, source: Any, outputs: Any) -> Any:
        return self._label_logits(outputs["logits"], 1)

    def _decode(self, encoded: Encoded, kept: list[Any], options: ZeroShotOptions) -> Any:
        logits = np.stack(kept)  # (candidates, labels of the model)
        entailed = self._entailment()
        if options.multi_label or len(kept) == 1:
            scores = softmax(logits[:, [self._contradiction(), entailed]])[:, 1]
        else:
            scores = softmax(logits[:, entailed])
        order = np.argsort(-scores, kind="stable").tolist()
        labels = options.candidate_labels
        return {
            "sequence": encoded.source,
            "labels": [labels[i] for i in order],
            "scores": [float(scores[i]) for i in order],
        }

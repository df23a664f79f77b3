"""Vectors of tokens and of sentences: the encoder's last layer."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from distilbert.fields import boolean, one_of
from distilbert.foreign_options import Table
from distilbert.pipelines.flow import Encoded, Pipeline
from distilbert.pipelines.inputs import Count, text_of
from distilbert.pipelines.options import Options
from distilbert.pipelines.running import Outputs, Row

POOLING = ("none", "mean", "first")


@dataclass(frozen=True)
class FeatureOptions(Options):
    """What feature extraction can be told.

    Args:
        pooling: "none" gives a vector per token, "mean" their mean, "first" that of [CLS].
        normalize: whether vectors are divided by their length.
        truncation: whether the end of a text that is too long is cut off.
    """

    pooling: str = "none"
    normalize: bool = False
    truncation: bool = False

    checks = Options.checks | {"pooling": one_of(*POOLING), "normalize": boolean}


@dataclass(frozen=True)
class EmbeddingOptions(FeatureOptions):
    """The same, for sentences: their mean, normalised."""

    pooling: str = "mean"
    normalize: bool = True


class FeatureExtractionPipeline(Pipeline):
    """Gives the encoder's last hidden states: a float32 array (T, C) per text, or (C,) pooled.

    Special tokens are among the T tokens, and in the mean.

    Args:
        model, tokenizer, config, batch_tokens, read_ahead: see
            `distilbert.pipelines.flow.Pipeline`.
        options: `pooling` ("none", "mean", "first"), `normalize` (to length 1), `max_length`; with
            `truncation` a long text is cut, else refused.

    Example:
        >>> import numpy as np
        >>> from distilbert import DistilBertConfig, DistilBertTokenizer, FeatureExtractionPipeline
        >>> words = "[PAD] [UNK] [CLS] [SEP] [MASK] small model".split()
        >>> tokenizer = DistilBertTokenizer({word: i for i, word in enumerate(words)})
        >>> def model(input_ids, attention_mask):  # any callable in the place of a model
        ...     return np.eye(7)[input_ids]
        >>> extract = FeatureExtractionPipeline(model, tokenizer, config=DistilBertConfig())
        >>> extract("small model").shape
        (4, 7)
    """

    task = "feature-extraction"
    head = "Model"
    outputs = ("last_hidden_state",)
    options_class: ClassVar[type[Options]] = FeatureOptions
    foreign: ClassVar[Table] = {
        "return_tensors": ((None, False), "torch.from_numpy makes a tensor of an answer")
    }

    def _read(self, item: Any, options: FeatureOptions) -> str:
        return text_of(item)

    def _encode(
        self, items: list[str], options: FeatureOptions, count: Count | None
    ) -> list[Encoded]:
        texts = ((text, None) for text in items)
        rows = self._rows(texts, options, options.truncation, count)
        return [Encoded([row], options) for row in rows]

    def _take(self, row: Row, source: FeatureOptions, outputs: Outputs) -> NDArray[np.float32]:
        states = outputs["last_hidden_state"][: len(row.ids)]  # (T, C)
        if states.ndim != 2:
            raise ValueError(f"the model gave hidden states of shape {states.shape} for a row")
        if source.pooling == "mean":
            return states.mean(0, dtype=np.float64).astype(np.float32)
        return states[0].copy() if source.pooling == "first" else states.copy()

    def _decode(self, encoded: Encoded, kept: list[Any], options: FeatureOptions) -> Any:
        vectors = kept[0]
        if not options.normalize:
            return vectors
        length = np.linalg.norm(vectors, axis=-1, keepdims=True)
        return vectors / np.maximum(length, np.finfo(np.float32).tiny)


class SentenceEmbeddingPipeline(FeatureExtractionPipeline):
    """Gives a vector (C,) of length 1 per text, whose dot product with another is their cosine.

    Args:
        model, tokenizer, config, batch_tokens, read_ahead: see
            `distilbert.pipelines.flow.Pipeline`.
        options: `pooling` ("mean", "first"), `normalize` (True), `max_length`; with `truncation` a
            long text is cut, else refused.

    Example:
        >>> import numpy as np
        >>> from distilbert import DistilBertConfig, DistilBertTokenizer, SentenceEmbeddingPipeline
        >>> words = "[PAD] [UNK] [CLS] [SEP] [MASK] small model".split()
        >>> tokenizer = DistilBertTokenizer({word: i for i, word in enumerate(words)})
        >>> def model(input_ids, attention_mask):  # any callable in the place of a model
        ...     return np.eye(7)[input_ids]
        >>> embed = SentenceEmbeddingPipeline(model, tokenizer, config=DistilBertConfig())
        >>> one, other = embed(["small model", "model small"])
        >>> round(float(one @ other), 4)
        1.0
    """

    task = "sentence-embedding"
    options_class = EmbeddingOptions

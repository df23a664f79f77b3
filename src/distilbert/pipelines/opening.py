"""`pipeline(task, model)`: the pipeline of a task, from a folder, a hub id or a model."""

import difflib
import os
from typing import Any

from distilbert.checkpoint import open_config
from distilbert.hub import REACH, Source
from distilbert.pipelines.feature_extraction import (
    FeatureExtractionPipeline,
    SentenceEmbeddingPipeline,
)
from distilbert.pipelines.fill_mask import FillMaskPipeline
from distilbert.pipelines.flow import Pipeline
from distilbert.pipelines.models import open_model, torch_device
from distilbert.pipelines.multiple_choice import MultipleChoicePipeline
from distilbert.pipelines.question_answering import QuestionAnsweringPipeline
from distilbert.pipelines.text_classification import TextClassificationPipeline
from distilbert.pipelines.token_classification import TokenClassificationPipeline
from distilbert.pipelines.zero_shot import ZeroShotClassificationPipeline
from distilbert.tokenization import DistilBertTokenizerFast

_CLASSES: tuple[type[Pipeline], ...] = (
    FeatureExtractionPipeline,
    FillMaskPipeline,
    MultipleChoicePipeline,
    QuestionAnsweringPipeline,
    SentenceEmbeddingPipeline,
    TextClassificationPipeline,
    TokenClassificationPipeline,
    ZeroShotClassificationPipeline,
)
TASKS = {cls.task: cls for cls in _CLASSES}
ALIASES = {"ner": "token-classification", "sentiment-analysis": "text-classification"}
_OF_PLACE = {"revision", "subfolder"}  # of the model, where the tokenizer has its own place
_OF_MODEL = {
    "device", "dtype", "torch_dtype", "attn_implementation", "precision", "engine", "threads",
}  # fmt: skip


def pipeline(task: str, model: Any, tokenizer: Any = None, **options: Any) -> Any:
    """Make the pipeline of a task.

    Args:
        task: feature-extraction, fill-mask, multiple-choice, question-answering,
            sentence-embedding, text-classification (sentiment-analysis), token-classification
            (ner) or zero-shot-classification.
        model: a folder or hub id, opened in PyTorch without padding in the computation, or by ONNX
            Runtime if it holds an export; or a model, or any callable in its place (see the task's
            class).
        tokenizer: a tokenizer, its folder or hub id, or a tuple of this and a dict of options of
            `from_pretrained`; by default that beside the model.
        options: of the task's class, `device` among them; `config` may be a folder or hub id. For
            a model in one also `dtype`, `attn_implementation`; for anything in one `cache_dir`,
            `force_download`, `local_files_only`, `token`, `revision`, `subfolder` (the last two are
            the model's alone, if it is in one); or `precision`, and with it `threads` and `engine`,
            to open the model prepared (`distilbert.load`). A `device` is what PyTorch takes, such
            as "cuda" or 0, or -1 for the CPU.

    Raises:
        ImportError: a folder is to be opened and torch is not installed.
        OSError: files that cannot be found or reached.
        TypeError: an unknown option, one of the wrong type, one of a prepared model without
            `precision`, or what is no model, tokenizer or configuration.
        ValueError: an unknown task, a model with another head, a device that is not there, no
            tokenizer for a model, or one with more tokens than the model has embeddings.

    Example:
        >>> import numpy as np
        >>> from distilbert import DistilBertConfig, DistilBertTokenizer, pipeline
        >>> words = "[PAD] [UNK] [CLS] [SEP] [MASK] the cat sat".split()
        >>> tokenizer = DistilBertTokenizer({word: i for i, word in enumerate(words)})
        >>> def model(input_ids, attention_mask):  # or a folder, a hub id, a model
        ...     return np.eye(8)[np.full_like(input_ids, 6)]
        >>> fill = pipeline("fill-mask", model, tokenizer, config=DistilBertConfig(vocab_size=8))
        >>> fill("the [MASK] sat", top_k=1)[0]["token_str"]
        'cat'
    """
    name = ALIASES.get(task, task)
    if name not in TASKS:
        close = difflib.get_close_matches(task, [*TASKS, *ALIASES], 1)
        hint = f"; did you mean {close[0]}?" if close else "."
        raise ValueError(f"there is no task {task!r}{hint} There are {', '.join(sorted(TASKS))}")
    cls = TASKS[name]
    opens_model = isinstance(model, str | os.PathLike)
    of_tokenizer: dict[str, Any] = {}
    if isinstance(tokenizer, tuple):
        tokenizer, of_tokenizer = _with_options(tokenizer)
    opens_tokenizer = isinstance(tokenizer, str | os.PathLike)
    opens_config = isinstance(options.get("config"), str | os.PathLike)
    if tokenizer is None and not opens_model:
        raise ValueError("a model that is no folder or hub id needs its tokenizer: tokenizer=…")
    reach: dict[str, Any] = {}
    if opens_model or opens_tokenizer or opens_config:
        reach = {key: options.pop(key) for key in REACH & options.keys()}
    # Where files are that may be elsewhere than the model's
    elsewhere = {key: reach[key] for key in reach if not (opens_model and key in _OF_PLACE)}
    if opens_config:
        options["config"] = open_config(Source(options["config"], **elsewhere))
    if opens_tokenizer:
        tokenizer = DistilBertTokenizerFast.from_pretrained(tokenizer, **elsewhere | of_tokenizer)
    elif tokenizer is None:
        tokenizer = DistilBertTokenizerFast.from_pretrained(model, **reach)
    if opens_model:
        of_model = {key: options.pop(key) for key in _OF_MODEL & options.keys()}
        if "device" in of_model:
            of_model["device"] = torch_device(of_model["device"])
        model = open_model(model, cls.head, **reach, **of_model)
    return cls(model, tokenizer, **options)


def _with_options(tokenizer: tuple[Any, ...]) -> tuple[Any, dict[str, Any]]:
    """Return the place of a tokenizer and the options that it is to be opened with."""
    match tokenizer:
        case (str() | os.PathLike() as place, dict() as options):
            # Whichever tokenizer it names, the other gives the same.
            return place, {k: v for k, v in options.items() if k != "use_fast"}
    raise TypeError(
        f"a tuple in the place of a tokenizer must be (folder, options), got {tokenizer!r:.60}"
    )

"""DistilBERT: the models, the tokenizers, the files.

Every public name loads on first use, so that `import distilbert` costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_NAMES = {
    "auto": ("AutoConfig",),
    "config": ("BertConfig", "DistilBertConfig"),
    "export": ("OnnxModel", "export_onnx"),
    "inference": ("PreparedModel", "load", "prepare"),
    "modeling": (
        "AutoModel",
        "AutoModelForMaskedLM",
        "AutoModelForMultipleChoice",
        "AutoModelForQuestionAnswering",
        "AutoModelForSequenceClassification",
        "AutoModelForTokenClassification",
        "BertForMaskedLM",
        "BertForMultipleChoice",
        "BertForQuestionAnswering",
        "BertForSequenceClassification",
        "BertForTokenClassification",
        "BertModel",
        "BertPreTrainedModel",
        "DistilBertForMaskedLM",
        "DistilBertForMultipleChoice",
        "DistilBertForQuestionAnswering",
        "DistilBertForSequenceClassification",
        "DistilBertForTokenClassification",
        "DistilBertModel",
        "DistilBertPreTrainedModel",
    ),
    "pipelines": (
        "FeatureExtractionPipeline",
        "FillMaskPipeline",
        "MultipleChoicePipeline",
        "QuestionAnsweringPipeline",
        "SentenceEmbeddingPipeline",
        "TextClassificationPipeline",
        "TokenClassificationPipeline",
        "ZeroShotClassificationPipeline",
        "pipeline",
    ),
    "tf": (
        "TFAutoModel",
        "TFAutoModelForMaskedLM",
        "TFAutoModelForMultipleChoice",
        "TFAutoModelForQuestionAnswering",
        "TFAutoModelForSequenceClassification",
        "TFAutoModelForTokenClassification",
        "TFDistilBertForMaskedLM",
        "TFDistilBertForMultipleChoice",
        "TFDistilBertForQuestionAnswering",
        "TFDistilBertForSequenceClassification",
        "TFDistilBertForTokenClassification",
        "TFDistilBertModel",
        "TFDistilBertPreTrainedModel",
        "TFDistiller",
    ),
    "tokenization": (
        "AutoTokenizer",
        "BasicTokenizer",
        "BatchEncoding",
        "CharSpan",
        "DistilBertTokenizer",
        "DistilBertTokenizerFast",
        "TokenSpan",
        "WordpieceTokenizer",
        "load_vocab",
    ),
}
_HOME = {name: module for module, names in _NAMES.items() for name in names}

__all__ = sorted(_HOME)

if TYPE_CHECKING:  # the same names, for type checkers
    from distilbert.auto import *  # noqa: F403
    from distilbert.config import *  # noqa: F403
    from distilbert.export import *  # noqa: F403
    from distilbert.inference import *  # noqa: F403
    from distilbert.modeling import *  # noqa: F403
    from distilbert.pipelines import *  # noqa: F403
    from distilbert.tf import *  # noqa: F403
    from distilbert.tokenization import *  # noqa: F403


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'distilbert' has no attribute {name!r}")
    from distilbert.extras import said_how

    with said_how():
        value = getattr(import_module(f"distilbert.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(_HOME))

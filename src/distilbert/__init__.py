"""DistilBERT: the models, the tokenizers, the files.

Every public name loads on first use, so that `import distilbert` costs nothing.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_HOME = {
    "BatchEncoding": "tokenization",
    "BasicTokenizer": "tokenization",
    "DistilBertTokenizer": "tokenization",
    "DistilBertTokenizerFast": "tokenization",
    "WordpieceTokenizer": "tokenization",
    "load_vocab": "tokenization",
}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'distilbert' has no attribute {name!r}")
    value = getattr(import_module(f"distilbert.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(_HOME))

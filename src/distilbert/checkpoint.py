"""What a checkpoint's `config.json` says: the configuration for a class, and which class wrote it.

Which of its weights a model takes is in `matching.py`.
"""

import copy
import os
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from distilbert import fields
from distilbert.config import BertConfig, DistilBertConfig, PretrainedConfig
from distilbert.folders import read_json
from distilbert.hub import CONFIG_FILE, Source

KINDS = (
    "ForMaskedLM",
    "ForSequenceClassification",
    "ForMultipleChoice",
    "ForTokenClassification",
    "ForQuestionAnswering",
)
_ANSWERING = ("DistilBertForQuestionAnswering", "BertForQuestionAnswering")
NOT_TRAINED = "fine-tune it for this task first, or choose the task that it is for"


def model_type_of(content: Mapping[str, Any]) -> Any:
    """Return the kind of model that the content of a `config.json` describes.

    The first BERT files did not say what they are.

    >>> model_type_of({"type_vocab_size": 2})
    'bert'
    """
    return content.get("model_type", "bert" if "type_vocab_size" in content else None)


def is_bert(name: str | Source) -> bool:
    """Whether a folder or hub repository holds a BERT (else a DistilBERT).

    Raises:
        OSError: it cannot be found.
        ValueError: it is neither.
    """
    source = name if isinstance(name, Source) else Source(name)
    path = source.require(CONFIG_FILE)
    kind = model_type_of(read_json(path))
    if kind not in ("bert", "distilbert"):
        raise ValueError(f"{path}: model_type is {kind!r}; only bert and distilbert are read")
    return kind == "bert"


def read_config(
    source: Source, config_class: type[PretrainedConfig], overrides: Mapping[str, Any]
) -> PretrainedConfig:
    """Read the configuration for a class; a BERT's is converted for a DistilBERT class.

    Raises:
        OSError: there is no `config.json`.
        ValueError, TypeError: it is not valid, of another model, or cannot be converted.
    """
    path = source.require(CONFIG_FILE)
    content = read_json(path)
    if config_class is not DistilBertConfig or model_type_of(content) != "bert":
        return config_class.from_source(source, **overrides)
    try:
        config = BertConfig.from_source(source).to_distilbert()
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    config.update(overrides)
    return config


def choose_config(
    source: Source,
    config_class: type[PretrainedConfig],
    given: PretrainedConfig | str | os.PathLike[str] | None,
    overrides: Mapping[str, Any],
) -> PretrainedConfig:
    """Return a configuration to build a model from: a copy of the given one, or one from files.

    Args:
        given: a configuration, or where one is read, reached as `source` is; None is `source`.

    Raises:
        OSError, ValueError: as `read_config`.
        TypeError: it is none of these, or an override is not a field.
    """
    if isinstance(given, PretrainedConfig):
        config = copy.deepcopy(given)
        config.update(overrides)
        return config
    if given is None or isinstance(given, str | os.PathLike):
        place = source if given is None else replace(source, name=given)
        return read_config(place, config_class, overrides)
    raise TypeError(
        f"config must be a {full_name(config_class)}, or the folder or hub id of one; got a "
        f"{full_name(type(given))}"
    )


def full_name(kind: type) -> str:
    """Return the name of a class with that of its package.

    >>> full_name(DistilBertConfig)
    'distilbert.DistilBertConfig'
    """
    return f"{kind.__module__.partition('.')[0]}.{kind.__qualname__}"


def open_config(source: Source) -> PretrainedConfig:
    """Read the configuration of a DistilBERT or a BERT, whichever it is.

    Raises:
        OSError: there is no `config.json`.
        ValueError, TypeError: it is not valid, or of another model.
    """
    content = read_json(source.require(CONFIG_FILE))
    kind = BertConfig if model_type_of(content) == "bert" else DistilBertConfig
    return kind.from_source(source)


def _written_by(source: Source) -> list[str]:
    path = source.require(CONFIG_FILE)
    try:
        return fields.strings("architectures", read_json(path).get("architectures") or [])
    except TypeError as error:
        raise ValueError(f"{path}: {error}") from None


def kind_of(source: Source) -> str:
    """Return the end of the name of the class that wrote a checkpoint, such as "ForMaskedLM".

    Raises:
        ValueError: it does not say.
    """
    for name in _written_by(source):
        if name.endswith("ForPreTraining"):  # which has the masked-LM head, and one more
            return "ForMaskedLM"
        for kind in (*KINDS, "Model"):
            if name.endswith(kind):
                return kind
    raise ValueError(
        f"{source} does not say which class wrote it (architectures in {CONFIG_FILE}): say which "
        f"head it has, {', '.join(KINDS)} or Model"
    )


def require_kind(source: Source, kind: str) -> None:
    """Refuse a checkpoint of another head; the bare encoder ("Model") is in each.

    Weights alone do not tell: a tagger's layer has the name and shape of a classifier's.

    Raises:
        OSError: it cannot be found.
        ValueError: it has another head, or `kind` is none.
    """
    if kind not in (*KINDS, "Model"):
        raise ValueError(f"a head is one of {', '.join(KINDS)} or Model; got {kind!r}")
    other = [n for n in _written_by(source) if n.endswith(KINDS) and not n.endswith(kind)]
    if other and kind != "Model":
        family = other[0].partition("For")[0]
        raise ValueError(f"{source} is a {other[0]}, not a {family}{kind}; {NOT_TRAINED}")


def saved_config(config: PretrainedConfig, architecture: str) -> dict[str, Any]:
    """Return the content of the `config.json` of a model that is saved.

    Args:
        architecture: name of its PyTorch class. One that answers questions has no labels, and
            transformers refuses its folder if the file has other than two.
    """
    content = {**config.to_diff_dict(), "architectures": [architecture]}
    if architecture in _ANSWERING:
        content.pop("id2label", None)
        content.pop("label2id", None)
    return content

"""What the names in a checkpoint mean for a model, whichever framework computes it.

Which configuration a class reads, which weights it takes, what becomes of a BERT's, and the report
of what did not fit. A weight is anything with a shape; its values are not looked at here.
"""

import copy
import logging
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

from distilbert import fields, keymap
from distilbert.config import BertConfig, DistilBertConfig, PretrainedConfig
from distilbert.hub import CONFIG_FILE, Source, read_json
from distilbert.printable import printable

logger = logging.getLogger("distilbert")

_MANY = 6  # modules that are still named one by one
_WRAPPERS = ("module.", "_orig_mod.")  # of DistributedDataParallel and of torch.compile

KINDS = (
    "ForMaskedLM",
    "ForSequenceClassification",
    "ForMultipleChoice",
    "ForTokenClassification",
    "ForQuestionAnswering",
)
_ANSWERING = ("DistilBertForQuestionAnswering", "BertForQuestionAnswering")
NOT_TRAINED = "fine-tune it for this task first, or choose the task that it is for"

Shape = tuple[int, ...]


class HasConfig(Protocol):
    """A model of either framework."""

    config: PretrainedConfig


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


def saved_config(model: HasConfig, architecture: str) -> dict[str, Any]:
    """Return the content of the `config.json` of a model that is saved.

    Args:
        architecture: name of its PyTorch class. One that answers questions has no labels, and
            transformers refuses its folder if the file has other than two.
    """
    content = {**model.config.to_diff_dict(), "architectures": [architecture]}
    if architecture in _ANSWERING:
        content.pop("id2label", None)
        content.pop("label2id", None)
    return content


def by_module_name(weights: Iterable[str]) -> dict[str, str]:
    """Map module names, without prefix, to the names in the files."""
    names: dict[str, str] = {}
    for file_name in sorted(weights, key=lambda name: name == keymap.BERT_BIAS):
        key = keymap.from_file(file_name)
        if key is not None:
            names.setdefault(key, file_name)
    return names


def _is_conversion(model: HasConfig, weights: Mapping[str, Any]) -> bool:
    """Whether a BERT's weights go into a DistilBERT."""
    return model.config.type_vocab_size == 0 and keymap.are_bert(weights)


def take_token_type(
    model: HasConfig, weights: Mapping[str, Any], unused: dict[str, str], name: str
) -> Any:
    """Return what BERT adds to every token of segment 0, for a model without token types.

    Args:
        unused: names in the modules to names in the file; what is taken is removed.

    Returns:
        (C,), or None where there is nothing to add.

    Raises:
        ValueError: the table has another width than the model.
    """
    if keymap.TOKEN_TYPES not in unused or not _is_conversion(model, weights):
        return None
    file_name = unused.pop(keymap.TOKEN_TYPES)
    table = weights[file_name]
    if len(table.shape) != 2 or table.shape[0] < 1 or table.shape[1] != model.config.dim:
        raise ValueError(
            f"{name}: {file_name} has shape {tuple(table.shape)}, "
            f"the model needs (…, {model.config.dim})"
        )
    return table[0]


def drop_bert_head(model: HasConfig, weights: Mapping[str, Any], unused: dict[str, str]) -> bool:
    """Leave out what a DistilBERT cannot use of a BERT; True if it misses a head by that.

    BERT classifies tanh(pooler(first token)), DistilBERT relu(pre_classifier(first token)). A
    tagger's head is the same in both.
    """
    if not _is_conversion(model, weights):
        return False
    has_pooler = unused.pop("pooler.dense.weight", None) is not None
    unused.pop("pooler.dense.bias", None)
    written_by = model.config.architectures
    is_tagger = (
        any(name.endswith("ForTokenClassification") for name in written_by)
        if written_by
        else not has_pooler
    )
    if is_tagger and not hasattr(model, "pre_classifier"):
        return False
    unused.pop("classifier.bias", None)
    return unused.pop("classifier.weight", None) is not None and hasattr(model, "classifier")


def require_fit(
    name: str, mismatched: Sequence[tuple[str, Shape, Shape]], ignore_mismatched_sizes: bool
) -> None:
    """Refuse weights of another shape, given as (name in the file, its shape, the model's).

    Raises:
        ValueError: there are some, and they are not to be ignored.
    """
    if mismatched and not ignore_mismatched_sizes:
        first, found, expected = mismatched[0]
        raise ValueError(
            f"{name}: {first} has shape {found}, the model needs {expected}"
            + (f" (and {len(mismatched) - 1} more)" if len(mismatched) > 1 else "")
            + "; change the configuration, or pass ignore_mismatched_sizes=True to draw it anew"
        )


def require_encoder(
    name: str, model_type: str, taken: Iterable[str], weights: Mapping[str, Any]
) -> None:
    """Refuse a file of which the model took nothing for its encoder.

    Args:
        taken: module names, without prefix.

    Raises:
        ValueError: that is so.
    """
    if not any(keymap.is_encoder(key) for key in taken):
        first = next(iter(weights), "none")
        wrapper = next((each for each in _WRAPPERS if first.startswith(each)), None)
        remedy = f"; strip {wrapper!r} from the names, a wrapper put it there" if wrapper else ""
        raise ValueError(
            f"{name}: none of its {len(weights)} weights belongs to a {model_type} "
            f"encoder (the first is {first!r}{remedy})"
        )


def report(model: HasConfig, name: str, info: Mapping[str, list[Any]], dropped_head: bool) -> None:
    """Log in one line what was new or unused: a warning if it matters, information if not.

    Args:
        info: missing_keys (the model's names) and unexpected_keys (the file's).
    """
    new = _modules(info["missing_keys"])
    unused = [keymap.from_file(key) or key for key in info["unexpected_keys"]]
    alarming = [k for k in unused if keymap.is_encoder(k) and not k.startswith("pooler.")]
    harmless = _modules([k for k in unused if k not in alarming])
    parts = []
    if new:
        parts.append(f"new, to be trained before use: {new}")
    if dropped_head:
        parts.append("BERT's classification head (pooler, tanh) has no equal in DistilBERT")
    if alarming:
        parts.append(f"in the files but not in the model: {_modules(alarming)}")
    level = logging.WARNING if parts else logging.INFO
    if harmless:
        parts.append(f"not used: {harmless}")
    if parts:
        logger.log(level, "%s from %s; %s", type(model).__name__, name, "; ".join(parts))


def _modules(keys: list[str]) -> str:
    """Name the modules that own these weights, each once; if many, whole layers as `layer.6-11`."""
    names = list(dict.fromkeys(printable(key.rpartition(".")[0] or key) for key in keys))
    if len(names) <= _MANY:
        return ", ".join(names)
    numbers: dict[str, list[int]] = {}  # the layers of each stack; none for another module
    for name in names:
        layer = re.match(r"(.*\blayer\.)(\d+)\.", name)
        known = numbers.setdefault(layer[1] if layer else name, [])
        if layer and int(layer[2]) not in known:
            known.append(int(layer[2]))
    return ", ".join(stem + _spans(sorted(found)) for stem, found in numbers.items())


def _spans(numbers: list[int]) -> str:
    if len(numbers) > 1 and numbers[-1] - numbers[0] == len(numbers) - 1:
        return f"{numbers[0]}-{numbers[-1]}"
    return "/".join(map(str, numbers))

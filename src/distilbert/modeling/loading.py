"""A checkpoint's configuration and weights into a model, with a report of what did not fit."""

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from distilbert import keymap
from distilbert.config import BertConfig, DistilBertConfig, PretrainedConfig
from distilbert.hub import CONFIG_FILE, Source, read_json
from distilbert.modeling.initialization import initialize

if TYPE_CHECKING:
    from distilbert.modeling.pretrained import PreTrainedModel

logger = logging.getLogger("distilbert")


def read_config(
    source: Source, config_class: type[PretrainedConfig], overrides: Mapping[str, Any]
) -> PretrainedConfig:
    """Read the configuration for a class; a BERT's is converted for a DistilBERT class.

    Raises:
        OSError: there is no `config.json`.
        ValueError, TypeError: it is not valid, of another model, or cannot be converted.
    """
    path = source.require(CONFIG_FILE)
    if config_class is DistilBertConfig and read_json(path).get("model_type") == "bert":
        config: PretrainedConfig = BertConfig.from_source(source).to_distilbert()
        config.update(overrides)
        return config
    return config_class.from_source(source, **overrides)


def choose_dtype(dtype: torch.dtype | str | None, weights: Mapping[str, Tensor]) -> torch.dtype:
    """Return the type that the model's weights get: named, the files' own, or PyTorch's default.

    Raises:
        ValueError: a name that is no floating-point type.
    """
    if dtype == "auto":
        found = next((w.dtype for w in weights.values() if w.is_floating_point()), None)
        dtype = found or torch.get_default_dtype()
    elif dtype is None:
        dtype = torch.get_default_dtype()
    elif isinstance(dtype, str):
        dtype = getattr(torch, dtype.removeprefix("torch."), dtype)
    if not isinstance(dtype, torch.dtype) or not dtype.is_floating_point:
        raise ValueError(f"dtype must be 'auto' or a floating-point type, got {dtype!r}")
    return dtype


@torch.no_grad()
def load_weights(
    model: "PreTrainedModel",
    weights: Mapping[str, Tensor],
    *,
    name: str,
    dtype: torch.dtype,
    device: torch.device,
    ignore_mismatched_sizes: bool,
) -> dict[str, list[Any]]:
    """Fill a model that was made on the meta device, and report what was new or unused.

    Raises:
        ValueError: nothing fits, a shape does not, or a weight holds no numbers.
    """
    prefix = model.base_model_prefix
    has_head = model.base_model is not model
    theirs = _by_module_name(weights)
    unused = dict(theirs)  # what is left when the model has taken its share
    dropped_head = _drop_bert_head(model, theirs, unused)

    model.to(dtype).to_empty(device=device)
    model.tie_weights()
    new, mismatched = [], []
    for module_name, module in model.named_modules():
        for parameter_name, parameter in module.named_parameters(recurse=False):
            full = f"{module_name}.{parameter_name}" if module_name else parameter_name
            key = full.removeprefix(f"{prefix}.")
            if _is_tied(model, full):
                continue
            tensor = None
            if key in unused and (has_head or keymap.is_encoder(key)):
                file_name = unused.pop(key)
                tensor = weights[file_name]
                if key == keymap.POSITIONS and model.config.type_vocab_size == 0:
                    tensor = _fold_token_type(tensor, theirs, weights, unused)
                if tensor.shape != parameter.shape:
                    mismatched.append((file_name, tuple(tensor.shape), tuple(parameter.shape)))
                    tensor = None
            if tensor is None:
                initialize(module, parameter_name, parameter, model.config)
                new.append(full)
            else:
                parameter.copy_(tensor)
    if mismatched and not ignore_mismatched_sizes:
        key, found, expected = mismatched[0]
        raise ValueError(
            f"{name}: {key} has shape {found}, the model needs {expected}"
            + (f" (and {len(mismatched) - 1} more)" if len(mismatched) > 1 else "")
            + "; change the configuration, or pass ignore_mismatched_sizes=True to draw it anew"
        )
    if not any(keymap.is_encoder(key) for key in theirs.keys() - unused.keys()):
        raise ValueError(
            f"{name}: none of its {len(weights)} weights belongs to a {model.config.model_type} "
            f"encoder (the first is {next(iter(weights), 'none')!r})"
        )
    _check_decoder(model, weights, unused, name)
    info: dict[str, list[Any]] = {
        "missing_keys": new,
        "unexpected_keys": sorted(unused.values()),
        "mismatched_keys": mismatched,
    }
    _report(model, name, info, dropped_head)
    return info


def _by_module_name(weights: Mapping[str, Tensor]) -> dict[str, str]:
    """Map module names, without prefix, to the names in the files."""
    names = {}
    for file_name in weights:
        key = keymap.from_file(file_name)
        if key is not None:
            names[key] = file_name
    return names


def _is_tied(model: "PreTrainedModel", full: str) -> bool:
    return full == "vocab_projector.weight" and model.config.tie_word_embeddings


def _fold_token_type(
    positions: Tensor, theirs: dict[str, str], weights: Mapping[str, Tensor], unused: dict[str, str]
) -> Tensor:
    """Add token type 0 to the positions: BERT adds it to every token of segment 0."""
    if keymap.TOKEN_TYPES not in theirs:
        return positions
    unused.pop(keymap.TOKEN_TYPES)
    return positions.float() + weights[theirs[keymap.TOKEN_TYPES]][0].float()


def _drop_bert_head(
    model: "PreTrainedModel", theirs: dict[str, str], unused: dict[str, str]
) -> bool:
    """Leave out what a DistilBERT cannot use of a BERT; True if that was a classification head.

    BERT classifies tanh(pooler(first token)), DistilBERT relu(pre_classifier(first token)). A
    tagger's head is the same in both.
    """
    if model.config.type_vocab_size or keymap.TOKEN_TYPES not in theirs:
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
    return unused.pop("classifier.weight", None) is not None


def _check_decoder(
    model: "PreTrainedModel", weights: Mapping[str, Tensor], unused: dict[str, str], name: str
) -> None:
    """Untie a decoder whose weights in the file are not the word embeddings."""
    decoder = model.get_output_embeddings()
    if decoder is None or "vocab_projector.weight" not in unused:
        return
    tensor = weights[unused.pop("vocab_projector.weight")]
    shared = decoder.weight
    if tensor.shape == shared.shape and torch.equal(tensor.to(shared), shared):
        return
    logger.warning(
        "%s: its decoder differs from its word embeddings, so the two are not tied "
        "(config.tie_word_embeddings is now False)",
        name,
    )
    model.config.tie_word_embeddings = False
    decoder.weight = torch.nn.Parameter(tensor.to(shared))


def _report(
    model: "PreTrainedModel", name: str, info: dict[str, list[Any]], dropped_head: bool
) -> None:
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
    """Name the modules that own these weights, each once."""
    return ", ".join(dict.fromkeys(key.rpartition(".")[0] or key for key in keys))

"""A checkpoint's configuration and weights into a model, with a report of what did not fit."""

import logging
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from distilbert import keymap
from distilbert.config import BertConfig, DistilBertConfig, PretrainedConfig
from distilbert.hub import CONFIG_FILE, Source, read_json
from distilbert.modeling.initialization import initialize

if TYPE_CHECKING:
    from distilbert.modeling.pretrained import PreTrainedModel

logger = logging.getLogger("distilbert")

_WEIGHT_DTYPES = (torch.float32, torch.float16, torch.bfloat16, torch.float64)
_DECODER = "vocab_projector.weight"
_MANY = 6  # modules that are still named one by one


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
    # The first BERT files did not say what they are.
    model_type = content.get("model_type", "bert" if "type_vocab_size" in content else None)
    if config_class is not DistilBertConfig or model_type != "bert":
        return config_class.from_source(source, **overrides)
    try:
        config = BertConfig.from_source(source).to_distilbert()
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    config.update(overrides)
    return config


def choose_dtype(dtype: torch.dtype | str | None, weights: Mapping[str, Tensor]) -> torch.dtype:
    """Return the type that the model's weights get: named, the files' own, or PyTorch's default.

    Raises:
        ValueError: a name that is no type a model computes in.
    """
    chosen: Any = dtype
    if dtype == "auto":
        chosen = next((w.dtype for w in weights.values() if w.dtype in _WEIGHT_DTYPES), None)
    elif isinstance(dtype, str):
        chosen = getattr(torch, dtype.removeprefix("torch."), dtype)
    if chosen is None:
        chosen = torch.get_default_dtype()
    if chosen not in _WEIGHT_DTYPES:
        names = ", ".join(str(known).removeprefix("torch.") for known in _WEIGHT_DTYPES)
        raise ValueError(f"dtype must be 'auto' or one of {names}; got {dtype!r}")
    return chosen


@torch.no_grad()
def load_weights(
    model: "PreTrainedModel",
    weights: Mapping[str, Tensor],
    *,
    name: str,
    dtype: torch.dtype,
    device: torch.device,
    ignore_mismatched_sizes: bool,
    share: bool = False,
) -> dict[str, list[Any]]:
    """Fill a model, as a rule one on the meta device, and report what was new or unused.

    Nothing is allocated before every shape has been found to fit.

    Args:
        share: use the tensors of `weights` themselves, in their own type, instead of copies: for a
            model that is read once and dropped, since files may be mapped.

    Raises:
        ValueError: nothing fits, a shape does not, or a weight holds no numbers.
    """
    theirs = _by_module_name(weights)
    unused = dict(theirs)  # what is left when the model has taken its share
    dropped_head = _drop_bert_head(model, weights, unused)
    token_type = _take_token_type(model, weights, unused, name)
    mismatched = []
    taken: dict[str, str] = {}  # the model's name -> the file's
    for full, parameter in model.named_parameters(remove_duplicate=False):
        key = full.removeprefix(f"{model.base_model_prefix}.")
        if key not in unused or not (keymap.is_encoder(key) or model.base_model is not model):
            continue
        file_name = unused.pop(key)
        tensor = weights[file_name]
        if tensor.dtype not in _WEIGHT_DTYPES or tensor.is_sparse or tensor.is_meta:
            raise ValueError(
                f"{name}: {file_name} does not hold floating-point numbers ({tensor.dtype}, "
                f"{tensor.layout}, {tensor.device}); quantised files are not read"
            )
        if tensor.shape == parameter.shape:
            taken[full] = file_name
        else:
            mismatched.append((file_name, tuple(tensor.shape), tuple(parameter.shape)))
    if mismatched and not ignore_mismatched_sizes:
        first, found, expected = mismatched[0]
        raise ValueError(
            f"{name}: {first} has shape {found}, the model needs {expected}"
            + (f" (and {len(mismatched) - 1} more)" if len(mismatched) > 1 else "")
            + "; change the configuration, or pass ignore_mismatched_sizes=True to draw it anew"
        )
    if not any(keymap.is_encoder(key) for key in theirs.keys() - unused.keys()):
        raise ValueError(
            f"{name}: none of its {len(weights)} weights belongs to a {model.config.model_type} "
            f"encoder (the first is {next(iter(weights), 'none')!r})"
        )

    decoder = taken.pop(_DECODER, None) if model.config.tie_word_embeddings else None
    if not any(parameter.is_meta for parameter in model.parameters()):
        model.to(dtype=dtype, device=device)
    new = []
    for module_name, module in model.named_modules():
        for parameter_name, parameter in list(module.named_parameters(recurse=False)):
            full = f"{module_name}.{parameter_name}" if module_name else parameter_name
            if full == _DECODER and model.config.tie_word_embeddings:
                continue
            if share and full in taken and not full.endswith(keymap.POSITIONS):
                weight = nn.Parameter(weights[taken[full]], requires_grad=False)
                setattr(module, parameter_name, weight)
                continue
            if parameter.is_meta:  # Module.to_empty would take 0.4 s to import sympy
                trained = parameter.requires_grad
                parameter = nn.Parameter(
                    torch.empty(parameter.shape, dtype=dtype, device=device), requires_grad=trained
                )
                setattr(module, parameter_name, parameter)
            if full not in taken:
                initialize(module, parameter_name, parameter, model.config)
                new.append(full)
            elif token_type is not None and full.endswith(keymap.POSITIONS):
                parameter.copy_(_add(weights[taken[full]], token_type))
            else:
                parameter.copy_(weights[taken[full]])
    model.tie_weights()
    if decoder is not None:
        _untie_if_different(model, weights[decoder], name)
    info: dict[str, list[Any]] = {
        "missing_keys": new,
        "unexpected_keys": sorted(unused.values()),
        "mismatched_keys": mismatched,
    }
    _report(model, name, info, dropped_head)
    return info


def _by_module_name(weights: Mapping[str, Tensor]) -> dict[str, str]:
    """Map module names, without prefix, to the names in the files."""
    names: dict[str, str] = {}
    for file_name in sorted(weights, key=lambda name: name == keymap.BERT_BIAS):
        key = keymap.from_file(file_name)
        if key is not None:
            names.setdefault(key, file_name)
    return names


def _is_conversion(model: "PreTrainedModel", weights: Mapping[str, Tensor]) -> bool:
    """Whether a BERT's weights go into a DistilBERT."""
    return model.config.type_vocab_size == 0 and keymap.are_bert(weights)


def _take_token_type(
    model: "PreTrainedModel", weights: Mapping[str, Tensor], unused: dict[str, str], name: str
) -> Tensor | None:
    """Return what BERT adds to every token of segment 0, for a model without token types."""
    if keymap.TOKEN_TYPES not in unused or not _is_conversion(model, weights):
        return None
    file_name = unused.pop(keymap.TOKEN_TYPES)
    table = weights[file_name]
    if table.dim() != 2 or len(table) < 1 or table.shape[1] != model.config.dim:
        raise ValueError(
            f"{name}: {file_name} has shape {tuple(table.shape)}, "
            f"the model needs (…, {model.config.dim})"
        )
    return table[0]


def _add(table: Tensor, row: Tensor) -> Tensor:
    """Add a row to a table, in float32 at least."""
    exact = torch.promote_types(table.dtype, torch.float32)
    return table.to(exact) + row.to(exact)


def _drop_bert_head(
    model: "PreTrainedModel", weights: Mapping[str, Tensor], unused: dict[str, str]
) -> bool:
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


def _untie_if_different(model: "PreTrainedModel", weight: Tensor, name: str) -> None:
    """Give the decoder its own weights if those in the file are not the word embeddings."""
    decoder = model.get_output_embeddings()
    assert decoder is not None
    weight = weight.to(decoder.weight)
    if torch.allclose(weight, decoder.weight, rtol=0, atol=0, equal_nan=True):
        return
    logger.warning(
        "%s: its decoder differs from its word embeddings, so the two are not tied "
        "(config.tie_word_embeddings is now False)",
        name,
    )
    model.config.tie_word_embeddings = False
    decoder.weight = nn.Parameter(weight.clone())


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
    """Name the modules that own these weights, each once; if many, whole layers as `layer.6-11`."""
    names = list(dict.fromkeys(key.rpartition(".")[0] or key for key in keys))
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

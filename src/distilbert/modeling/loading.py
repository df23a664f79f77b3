"""A checkpoint's weights into a model, with a report of what did not fit."""

import logging
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from distilbert import checkpoint, keymap
from distilbert.modeling.initialization import initialize

if TYPE_CHECKING:
    from distilbert.modeling.pretrained import PreTrainedModel

logger = logging.getLogger("distilbert")

_WEIGHT_DTYPES = (torch.float32, torch.float16, torch.bfloat16, torch.float64)


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


def choose_device(device: torch.device | str | int | None) -> torch.device:
    """Return the device that the model's weights get: named, or PyTorch's default.

    Raises:
        ValueError: there is no such device.
    """
    if device is None:
        return torch.get_default_device()
    try:
        chosen = torch.device(device)
        torch.empty(0, device=chosen)
    except (AssertionError, RuntimeError) as error:  # as PyTorch says it, according to its build
        cuda = "" if torch.cuda.is_available() else ", and PyTorch has no CUDA here"
        reason = str(error).partition("\n")[0]
        raise ValueError(f"device={device!r} cannot be used{cuda}: {reason}") from error
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
    is_drawn: bool = False,
    share: bool = False,
) -> dict[str, list[Any]]:
    """Fill a model, as a rule one on the meta device, and report what was new or unused.

    Nothing is allocated before every shape has been found to fit.

    Args:
        is_drawn: the model has its first values: what the files lack stays as it is.
        share: use the tensors of `weights` themselves, in their own type, instead of copies: for a
            model that is read once and dropped, since files may be mapped.

    Raises:
        ValueError: nothing fits, a shape does not, or a weight holds no numbers.
    """
    theirs = checkpoint.by_module_name(weights)
    unused = dict(theirs)  # what is left when the model has taken its share
    dropped_head = checkpoint.drop_bert_head(model, weights, unused)
    token_type = checkpoint.take_token_type(model, weights, unused, name)
    taken, mismatched = _take(model, weights, unused, name)
    checkpoint.require_fit(name, mismatched, ignore_mismatched_sizes)
    checkpoint.require_encoder(
        name, model.config.model_type, theirs.keys() - unused.keys(), weights
    )
    decoder = taken.pop(keymap.DECODER, None) if model.config.tie_word_embeddings else None
    if not any(parameter.is_meta for parameter in model.parameters()):
        model.to(dtype=dtype, device=device)
    new = []
    for full, module, own_name in _places(model):
        value = weights[taken[full]] if full in taken else None
        if value is not None and token_type is not None and full.endswith(keymap.POSITIONS):
            value = _add(value, token_type)
        if value is not None and share:
            setattr(module, own_name, nn.Parameter(value, requires_grad=False))
            continue
        parameter = _allocate(module, own_name, dtype, device)
        if value is not None:
            parameter.copy_(value)
            continue
        if not is_drawn:
            initialize(module, own_name, parameter, model.config)
        new.append(full)
    model.tie_weights()
    _fill_buffers(model, weights, unused)
    if decoder is not None:
        _untie_if_different(model, weights[decoder], name)
    info: dict[str, list[Any]] = {
        "missing_keys": new,
        "unexpected_keys": sorted(unused.values()),
        "mismatched_keys": mismatched,
    }
    checkpoint.report(model, name, info, dropped_head)
    return info


def _take(
    model: "PreTrainedModel", weights: Mapping[str, Tensor], unused: dict[str, str], name: str
) -> tuple[dict[str, str], list[tuple[str, checkpoint.Shape, checkpoint.Shape]]]:
    """Return which weight each parameter gets, and those of another shape, for `require_fit`.

    Args:
        unused: names in the modules to names in the file; what is taken is removed.

    Raises:
        ValueError: a weight holds no numbers.
    """
    taken: dict[str, str] = {}  # the model's name -> the file's
    mismatched = []
    for full, parameter in model.named_parameters(remove_duplicate=False):
        key = _key(model, full)
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
    return taken, mismatched


def _key(model: "PreTrainedModel", full: str) -> str:
    """Return a name in the model without the encoder's prefix."""
    return full.removeprefix(f"{model.base_model_prefix}.")


def _places(model: "PreTrainedModel") -> Iterator[tuple[str, nn.Module, str]]:
    """Yield the name of each parameter, its module and what it is called there.

    A decoder that is tied to the word embeddings is left out.
    """
    for module_name, module in model.named_modules():
        for own_name, _ in list(module.named_parameters(recurse=False)):
            full = f"{module_name}.{own_name}" if module_name else own_name
            if full != keymap.DECODER or not model.config.tie_word_embeddings:
                yield full, module, own_name


def _allocate(
    module: nn.Module, own_name: str, dtype: torch.dtype, device: torch.device
) -> nn.Parameter:
    """Return a parameter, in memory from now on if it was on the meta device."""
    parameter: nn.Parameter = getattr(module, own_name)
    if parameter.is_meta:  # Module.to_empty would take 0.4 s to import sympy
        values = torch.empty(parameter.shape, dtype=dtype, device=device)
        parameter = nn.Parameter(values, requires_grad=parameter.requires_grad)
        setattr(module, own_name, parameter)
    return parameter


def _fill_buffers(
    model: "PreTrainedModel", weights: Mapping[str, Tensor], unused: dict[str, str]
) -> None:
    """Fill the buffers that are saved, which only a user's class has."""
    own = model.state_dict()  # without buffers that are not to be saved
    for full, buffer in model.named_buffers():
        key = _key(model, full)
        if full in own and key in unused and weights[unused[key]].shape == buffer.shape:
            buffer.copy_(weights[unused.pop(key)])


def _add(table: Tensor, row: Tensor) -> Tensor:
    """Add a row to a table, in float32 at least."""
    exact = torch.promote_types(table.dtype, torch.float32)
    return table.to(exact) + row.to(exact)


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

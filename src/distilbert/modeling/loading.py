"""A checkpoint's weights into a model, with a report of what did not fit."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from distilbert import keymap
from distilbert.matching import match, untie
from distilbert.modeling.initialization import initialize

if TYPE_CHECKING:
    from distilbert.modeling.pretrained import PreTrainedModel

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
    own = {
        full: tuple(parameter.shape)
        for full, parameter in model.named_parameters(remove_duplicate=False)
        if model.base_model is not model or keymap.is_encoder(full)
    }
    found = match(
        model,
        own,
        weights,
        name=name,
        ignore_mismatched_sizes=ignore_mismatched_sizes,
        unfit=_unfit,
    )
    taken = found.taken
    decoder = taken.pop(keymap.DECODER, None) if model.config.tie_word_embeddings else None
    if not any(parameter.is_meta for parameter in model.parameters()):
        model.to(dtype=dtype, device=device)
    new = []
    for full, module, own_name in _places(model):
        value = weights[taken[full]] if full in taken else None
        if value is not None and found.token_type is not None and full.endswith(keymap.POSITIONS):
            value = _add(value, found.token_type)
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
    _fill_buffers(model, weights, found.unused)
    if decoder is not None:
        _untie_if_different(model, weights[decoder], name)
    return found.report(model, name, new)


def _unfit(weight: Tensor) -> str:
    """Say what a weight is that cannot be copied into a model; empty if it can."""
    if weight.dtype in _WEIGHT_DTYPES and not (weight.is_sparse or weight.is_meta):
        return ""
    return f"{weight.dtype}, {weight.layout}, {weight.device}"


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
        key = full.removeprefix(f"{model.base_model_prefix}.")
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
    untie(model, name)
    decoder.weight = nn.Parameter(weight.clone())

"""Weights out of files and into files. Nothing that a file could execute is ever run."""

import os
import pickle
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors.torch import save_file
from torch import Tensor

from distilbert.checkpoint import saved_config
from distilbert.config import BertConfig
from distilbert.hub import Source
from distilbert.keymap import BERT_BIAS, BERT_DECODER_BIAS, DECODER, to_bert_file
from distilbert.modeling.reparametrized import require_saved_weights
from distilbert.modeling.resizing import learn_sizes
from distilbert.stored_weights import SafeWeights
from distilbert.weight_files import find_weights, require_promised, write_weights

if TYPE_CHECKING:
    from distilbert.modeling.pretrained import PreTrainedModel

_COMPILED = "_orig_mod."  # what torch.compile puts before the names of a part that it wraps


# What torch.load raises on bytes that went wrong on their way, found by trying.
_DAMAGE = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    RuntimeError,
    TypeError,
    ValueError,
    struct.error,
)


class SafeTensors(SafeWeights):
    """As PyTorch's tensors."""

    framework = "pt"


def read_weights(source: Source, *, use_safetensors: bool | None = None) -> Mapping[str, Tensor]:
    """Return the weights of a checkpoint by their names in the files.

    Raises:
        OSError: there are none.
        ValueError: a file is damaged, or is a pickle with anything but tensors in it.
    """
    promised = find_weights(source, use_safetensors=use_safetensors)
    weights: Mapping[str, Tensor]
    if next(iter(promised)).suffix == ".safetensors":
        weights = SafeTensors(promised)
    else:
        weights = {name: w for path in promised for name, w in _read_pickle(path).items()}
    require_promised(promised, weights)
    return weights


def _read_pickle(path: Path) -> dict[str, Tensor]:
    try:
        content = torch.load(
            path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path) or None
        )
    except pickle.UnpicklingError as error:
        raise ValueError(
            f"{path} holds more than weights, or is damaged; it was not executed. "
            f"Ask its author for safetensors. ({str(error).splitlines()[0]})"
        ) from error
    except (OSError, *_DAMAGE) as error:
        if isinstance(error, OSError) and error.filename:
            raise  # it cannot be opened
        raise ValueError(f"{path} is damaged: {type(error).__name__}: {error}") from error
    if not isinstance(content, dict) or not all(
        isinstance(name, str) and isinstance(tensor, Tensor) for name, tensor in content.items()
    ):
        raise ValueError(f"{path} must map names to tensors and nothing else")
    return dict(content)


def save_model(
    model: "PreTrainedModel",
    folder: str | os.PathLike[str],
    state_dict: Mapping[str, Tensor] | None,
    max_shard_size: int | str,
) -> None:
    """Write `config.json` and the weights, in one file or in shards with an index."""
    require_saved_weights(model)
    tensors = _to_write(model, model.state_dict() if state_dict is None else state_dict)
    learn_sizes(model)
    config = saved_config(model.config, type(model).__name__)
    config["dtype"] = str(next(iter(tensors.values())).dtype).removeprefix("torch.")
    if isinstance(model.config, BertConfig):
        tensors = {to_bert_file(name): tensor for name, tensor in tensors.items()}
        if BERT_BIAS in tensors and not model.config.tie_word_embeddings:
            tensors[BERT_DECODER_BIAS] = tensors[BERT_BIAS].clone()
    write_weights(folder, tensors, max_shard_size, config, save_file)


def _to_write(model: "PreTrainedModel", state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights as they go to a file: all of the model's, each with its own memory.

    Raises:
        ValueError: weights of another model, quantised, spread over processes, or without values.
    """
    expected = {name.replace(_COMPILED, "") for name in model.state_dict()}
    state_dict = {name.replace(_COMPILED, ""): weight for name, weight in state_dict.items()}
    decoder = model.get_output_embeddings()
    # Whoever put another decoder there, or filled the two apart, has untied them.
    is_tied = decoder is None or decoder.weight is model.get_input_embeddings().weight
    drops = model.config.tie_word_embeddings and is_tied
    tied = {DECODER} if drops else set()
    for names, what in (
        (state_dict.keys() - expected, "has no weight"),
        (expected - tied - state_dict.keys(), "also needs the weight"),
    ):
        if names:
            raise ValueError(f"state_dict: a {type(model).__name__} {what} {sorted(names)[0]!r}")
    tensors: dict[str, Tensor] = {}
    memory = set()
    for name in state_dict:
        if name in tied:
            continue
        if not isinstance(state_dict[name], Tensor):
            raise ValueError(
                f"{name} is a {type(state_dict[name]).__name__}, not a tensor: quantised models "
                "are not saved, save the model that was quantised"
            )
        tensor = state_dict[name].detach().contiguous()
        if tensor.is_meta:
            raise ValueError(f"{name} is on the meta device: it has no values to save")
        if hasattr(tensor, "full_tensor"):  # a DTensor, whose class takes long to import
            raise ValueError(
                f"{name} is spread over processes: pass state_dict=get_model_state_dict(model, "
                "options=StateDictOptions(full_state_dict=True)), both of "
                "torch.distributed.checkpoint.state_dict"
            )
        place = tensor.untyped_storage().data_ptr()
        tensors[name] = tensor.clone() if place in memory else tensor
        memory.add(place)
    return tensors

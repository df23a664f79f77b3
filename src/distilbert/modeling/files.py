"""Weights out of files and into files. Nothing that a file could execute is ever run."""

import os
import pickle
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from huggingface_hub import split_torch_state_dict_into_shards
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from distilbert.config import BertConfig
from distilbert.hub import CONFIG_FILE, SAFE_INDEX, Source, find_weights, staged, write_json
from distilbert.keymap import to_bert_file

if TYPE_CHECKING:
    from distilbert.modeling.pretrained import PreTrainedModel

SHARD_PATTERN = "model{suffix}.safetensors"


class SafeWeights(Mapping[str, Tensor]):
    """The tensors of safetensors files, each read when it is asked for."""

    def __init__(self, paths: list[Path]) -> None:
        self._home: dict[str, tuple[Any, Path]] = {}
        for path in paths:
            try:
                file = safe_open(path, framework="pt")
                names = list(file.keys())
            except (SafetensorError, OSError) as error:
                raise ValueError(f"{path} is not a valid safetensors file: {error}") from error
            for name in names:
                self._home[name] = (file, path)

    def __getitem__(self, name: str) -> Tensor:
        file, path = self._home[name]
        try:
            return file.get_tensor(name)
        except SafetensorError as error:
            raise ValueError(f"{path}: {name} cannot be read: {error}") from error

    def __iter__(self) -> Iterator[str]:
        return iter(self._home)

    def __len__(self) -> int:
        return len(self._home)


def read_weights(source: Source, *, use_safetensors: bool | None = None) -> Mapping[str, Tensor]:
    """Return the weights of a checkpoint by their names in the files.

    Raises:
        OSError: there are none.
        ValueError: a file is damaged, or is a pickle with anything but tensors in it.
    """
    paths = find_weights(source, use_safetensors=use_safetensors)
    if paths[0].suffix == ".safetensors":
        return SafeWeights(paths)
    weights: dict[str, Tensor] = {}
    for path in paths:
        weights.update(_read_pickle(path))
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
    except (RuntimeError, EOFError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise ValueError(f"{path} is damaged: {error}") from error
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
    tensors = dict(state_dict if state_dict is not None else model.state_dict())
    if model.config.tie_word_embeddings:
        tensors.pop("vocab_projector.weight", None)
    if isinstance(model.config, BertConfig):
        tensors = {to_bert_file(name): tensor for name, tensor in tensors.items()}
    tensors = {name: tensor.detach().contiguous() for name, tensor in tensors.items()}
    config = model.config.to_diff_dict()
    config["architectures"] = [type(model).__name__]
    config["dtype"] = str(model.dtype).removeprefix("torch.")
    plan = split_torch_state_dict_into_shards(
        tensors, filename_pattern=SHARD_PATTERN, max_shard_size=max_shard_size
    )
    with staged(folder, replaces=("model*.safetensors", SAFE_INDEX)) as scratch:
        for filename, names in plan.filename_to_tensors.items():
            shard = {name: tensors[name] for name in names}
            save_file(shard, scratch / filename, metadata={"format": "pt"})
        if plan.is_sharded:
            index = {"metadata": plan.metadata, "weight_map": plan.tensor_to_filename}
            write_json(scratch / SAFE_INDEX, index)
        write_json(scratch / CONFIG_FILE, config)

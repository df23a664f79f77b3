"""The files that hold a checkpoint's weights: one, or shards with an index; found and written.

What is in them is read elsewhere (`stored_weights.py`, `modeling/files.py`).
"""

import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from distilbert.folders import is_plain_name, read_json, staged, write_json
from distilbert.hub import CONFIG_FILE, SINGLE_WEIGHTS, Source

SAFE_WEIGHTS = "model.safetensors"
SAFE_INDEX = "model.safetensors.index.json"
WEIGHTS = (SAFE_WEIGHTS, SAFE_INDEX, "model-?????-of-?????.safetensors")  # patterns
TORCH_WEIGHTS = "pytorch_model.bin"
TORCH_INDEX = "pytorch_model.bin.index.json"
ONNX_WEIGHTS = "model.onnx"


def find_weights(
    source: Source, *, use_safetensors: bool | None = None
) -> dict[Path, frozenset[str]]:
    """Return the files that hold a checkpoint's weights, each with what an index says it holds.

    Safetensors come before `pytorch_model.bin`. A single file has no index and so no names. A
    source that is a file of weights itself is that file, whatever lies beside it.

    Args:
        use_safetensors: True allows safetensors only, False the old `.bin` only, None either.

    Raises:
        OSError: no weights, or a shard is missing, or the file is of the other kind.
        ValueError: an index that is malformed or points outside its folder.
    """
    file = Path(source.name)
    if file.is_file() and file.suffix in SINGLE_WEIGHTS:
        if use_safetensors not in (None, file.suffix == ".safetensors"):
            raise OSError(f"{file} is not what use_safetensors={use_safetensors} asks for")
        return {file: frozenset()}
    kinds = []
    if use_safetensors is not False:
        kinds += [(SAFE_WEIGHTS, False), (SAFE_INDEX, True)]
    if use_safetensors is not True:
        kinds += [(TORCH_WEIGHTS, False), (TORCH_INDEX, True)]
    for filename, is_index in kinds:
        path = source.find(filename)
        if path is not None:
            if not is_index:
                return {path: frozenset()}
            shards = _shards(path, Path(filename.removesuffix(".index.json")).suffix)
            return {source.require(shard): frozenset(names) for shard, names in shards.items()}
    names = ", ".join(name for name, _ in kinds)
    where = " in the local cache" if source.is_offline else ""
    export = ""
    if source.find(ONNX_WEIGHTS) is not None:
        export = f"; {ONNX_WEIGHTS} is an export, which pipelines, predict, serve and evaluate open"
    raise OSError(f"{source} has no weights{where} (looked for {names}){export}")


def require_promised(promised: Mapping[Path, Iterable[str]], weights: Iterable[str]) -> None:
    """Check that what the index of `find_weights` says is there is among the weights read.

    Raises:
        ValueError: something is not.
    """
    read = set(weights)
    for path, names in promised.items():
        absent = sorted(set(names) - read)
        if absent:
            raise ValueError(f"{path} does not hold {absent[0]}, which its index says it does")


def _shards(index: Path, suffix: str) -> dict[str, list[str]]:
    """Return the tensors that an index says are in each shard."""
    weight_map = read_json(index).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise ValueError(f"{index} has no weight_map from tensor names to files")
    shards: dict[str, list[str]] = {}
    for tensor, shard in weight_map.items():
        if not is_plain_name(shard):
            raise ValueError(
                f"{index} names the shard {shard!r}; a shard is a plain file name beside its index"
            )
        if Path(shard).suffix != suffix:
            raise ValueError(f"{index} names the shard {shard!r}; it is not a {suffix} file")
        shards.setdefault(shard, []).append(tensor)
    return shards


def write_weights(
    folder: str | os.PathLike[str],
    tensors: Mapping[str, Any],
    max_shard_size: int | str,
    config: dict[str, Any],
    save_file: Callable[..., None],
) -> None:
    """Write `config.json` and the weights, in one file or in shards with an index.

    Args:
        tensors: by name, none of which shares memory with another.
        max_shard_size: largest file, in bytes or as "5GB".
        save_file: of safetensors, for the kind of the tensors.

    Raises:
        OSError: they cannot be written (disk full); the old files are as they were.
    """
    from huggingface_hub import split_state_dict_into_shards_factory
    from safetensors import SafetensorError

    # Its sister for PyTorch imports torch.distributed, which takes half a second.
    plan = split_state_dict_into_shards_factory(
        dict(tensors),
        get_storage_size=lambda tensor: tensor.nbytes,
        filename_pattern="model{suffix}.safetensors",
        max_shard_size=max_shard_size,
    )
    with staged(folder, replaces=WEIGHTS) as scratch:
        for filename, names in plan.filename_to_tensors.items():
            shard = {name: tensors[name] for name in names}
            try:
                save_file(shard, scratch / filename, metadata={"format": "pt"})
            except SafetensorError as error:
                raise OSError(f"{filename} cannot be written to {folder}: {error}") from error
        if plan.is_sharded:
            index = {"metadata": plan.metadata, "weight_map": plan.tensor_to_filename}
            write_json(scratch / SAFE_INDEX, index)
        write_json(scratch / CONFIG_FILE, config)

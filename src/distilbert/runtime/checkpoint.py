"""Checkpoints of a run: `step-00001234/` with safetensors and `state.json`; nothing is pickled.

A checkpoint is written in a scratch folder, flushed to disk and then renamed, and `state.json`
carries the size and SHA-256 of every file, so that a half-written one is never taken for whole.

    state.json  {"format": 1, "step": …, "files": {name: {"bytes": …, "sha256": …}}, "state": {…},
                 "sha256": of the rest}
"""

import errno
import hashlib
import json
import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from distilbert.folders import json_text, read_json
from distilbert.runtime.scratch import REMOVING, SAVING, remove_scratch

FORMAT = 1
STATE_FILE = "state.json"
_NAME = re.compile(r"step-(\d{8,})")
_KEPT = 2  # the last, and one to go back to if that is damaged
_NOT_FOR_FOLDERS = (errno.EINVAL, errno.EBADF, errno.ENOTSUP)  # what some file systems say


@dataclass(frozen=True)
class Checkpoint:
    """A whole checkpoint, its files verified.

    Args:
        step: how many optimiser steps it has behind it.
        state: the JSON object it was saved with.
        damaged: newer checkpoints that were passed over, each with its defect.
    """

    path: Path
    step: int
    state: dict[str, Any]
    damaged: tuple[str, ...] = ()

    def tensors(self, name: str) -> dict[str, Tensor]:
        """Read one file of named tensors, to the CPU.

        Raises:
            ValueError: there is no such file, or it is damaged.
        """
        file = self.path / f"{name}.safetensors"
        try:
            return load_file(file)
        except (SafetensorError, OSError) as error:
            raise ValueError(f"{file} cannot be read: {error}") from error


def save(
    folder: str | os.PathLike[str],
    step: int,
    tensors: Mapping[str, Mapping[str, Tensor]],
    state: Mapping[str, Any],
) -> Path:
    """Write a checkpoint, then remove all but the last two. One process may do so at a time.

    Args:
        folder: made if missing.
        step: optimiser steps done.
        tensors: file name without ending -> name -> tensor, such as `weights` and `optimizer`.
            No two tensors of a file may share memory (`weights_of` sees to it).
        state: whatever else is needed to go on, as JSON. Floats come back exactly.

    Returns:
        The folder of the checkpoint.

    Raises:
        OSError: it cannot be written (disk full); older checkpoints are as they were.
        ValueError: `state` is not JSON.
    """
    folder = Path(folder)
    target = folder / f"step-{step:08d}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        remove_scratch(folder)
        scratch = folder / f"{SAVING}{step:08d}"
        scratch.mkdir()
        _write(scratch, step, tensors, state)
        if target.exists():  # damaged, and now made again
            target.rename(folder / f"{REMOVING}{target.name}")
        scratch.rename(target)
        _flush(folder)
        for _, old in _steps(folder, until=step)[_KEPT:]:
            old.rename(folder / f"{REMOVING}{old.name}")
    except (OSError, SafetensorError) as error:
        raise OSError(
            f"the checkpoint of step {step} could not be written to {folder}: {error}. "
            "Older checkpoints are intact: make room, then start the same command again"
        ) from error
    finally:
        remove_scratch(folder)
    return target


def latest(folder: str | os.PathLike[str]) -> Checkpoint | None:
    """Return the last whole checkpoint of a folder, or None where none was ever written.

    Raises:
        ValueError: there are checkpoints, and all are damaged.
    """
    damaged: list[str] = []
    for step, path in _steps(Path(folder)):
        try:
            content = _verified(path, step)
        except (OSError, ValueError) as error:
            damaged.append(f"{path.name}: {error}")
        else:
            return Checkpoint(path, step, content["state"], tuple(damaged))
    if damaged:
        raise ValueError(
            f"every checkpoint in {folder} is damaged ({'; '.join(damaged)}). "
            "Remove them to start from the beginning"
        )
    return None


def newest_step(folder: str | os.PathLike[str]) -> int:
    """Return the step of the newest checkpoint in a folder, whole or not; 0 where there is none."""
    return max((step for step, _ in _steps(Path(folder))), default=0)


def weights_of(module: nn.Module) -> dict[str, Tensor]:
    """Return parameters and buffers by name, each once: tied weights under their first name."""
    seen: set[int] = set()
    weights = {}
    for name, tensor in module.state_dict(keep_vars=True).items():
        if id(tensor) not in seen:
            seen.add(id(tensor))
            weights[name] = tensor.detach()
    return weights


def fingerprint(module: nn.Module) -> str:
    """Return a hash of all weights and of the configuration: what a run depends on.

    The configuration is that of the module, if it has one, without what does not compute anything.
    """
    digest = hashlib.blake2b(digest_size=16)
    config = getattr(module, "config", None)
    if config is not None:
        content = {k: v for k, v in config.to_diff_dict().items() if k not in _NOT_COMPUTING}
        digest.update(json.dumps(content, sort_keys=True).encode())
    for name, tensor in weights_of(module).items():
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)} ".encode())
        digest.update(tensor.cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


_NOT_COMPUTING = {
    "architectures", "attn_implementation", "dtype", "output_attentions", "output_hidden_states",
    "return_dict", "transformers_version",
}  # fmt: skip


@torch.no_grad()
def load_weights(module: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Copy the weights of a checkpoint into a module that has exactly those.

    Raises:
        ValueError: names, shapes or types differ.
    """
    weights = weights_of(module)
    for names, what in (
        (tensors.keys() - weights.keys(), "has {}, which the model lacks"),
        (weights.keys() - tensors.keys(), "lacks {}, which the model has"),
    ):
        if names:
            raise ValueError(f"the checkpoint {what.format(min(names))}")
    for name, weight in weights.items():
        value = tensors[name]
        if (value.shape, value.dtype) != (weight.shape, weight.dtype):
            raise ValueError(
                f"{name} of the checkpoint is {tuple(value.shape)} {value.dtype}, "
                f"the model has {tuple(weight.shape)} {weight.dtype}"
            )
    for name, weight in weights.items():
        weight.copy_(tensors[name])


def _write(
    scratch: Path,
    step: int,
    tensors: Mapping[str, Mapping[str, Tensor]],
    state: Mapping[str, Any],
) -> None:
    content: dict[str, Any] = {
        "format": FORMAT,
        "step": step,
        "files": {},
        "state": dict(state),
    }
    text = json.dumps(content["state"], allow_nan=False)  # before the long work
    if json.loads(text) != content["state"]:
        raise ValueError("state must be what JSON gives back: strings for keys, lists, no tuples")
    for name, named in tensors.items():
        file = scratch / f"{name}.safetensors"
        save_file({key: value.contiguous() for key, value in named.items()}, file)
        content["files"][file.name] = _measure(file)
    content["sha256"] = _seal(content)
    record = scratch / STATE_FILE
    record.write_text(json_text(content), encoding="utf-8")
    mode = stat.S_IMODE(record.stat().st_mode)
    for file in scratch.iterdir():
        file.chmod(mode)  # safetensors makes its files for their owner alone
        _flush(file)
    _flush(scratch)


def _verified(path: Path, step: int) -> dict[str, Any]:
    """Return what `state.json` holds after comparing every file with it."""
    content = read_json(path / STATE_FILE)
    if content.get("format") != FORMAT:
        raise ValueError(
            f"{STATE_FILE} has format {content.get('format')!r}, this version reads {FORMAT}"
        )
    if content.get("sha256") != _seal(content) or content["step"] != step:
        raise ValueError(f"{STATE_FILE} was changed")
    for name, expected in content["files"].items():
        file = path / name
        size = file.stat().st_size
        if size != expected["bytes"]:
            raise ValueError(f"{name} has {size:,} bytes instead of {expected['bytes']:,}")
        if _measure(file) != expected:
            raise ValueError(f"{name} was changed (its SHA-256 differs)")
    return content


def _measure(file: Path) -> dict[str, Any]:
    with file.open("rb") as handle:
        digest = hashlib.file_digest(handle, "sha256").hexdigest()
    return {"bytes": file.stat().st_size, "sha256": digest}


def _seal(content: Mapping[str, Any]) -> str:
    rest = {key: value for key, value in content.items() if key != "sha256"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def _steps(folder: Path, until: int | None = None) -> list[tuple[int, Path]]:
    """Return the checkpoints of a folder, newest first."""
    paths = folder.iterdir() if folder.is_dir() else ()
    found = [(int(m[1]), path) for path in paths if (m := _NAME.fullmatch(path.name))]
    return sorted((pair for pair in found if until is None or pair[0] <= until), reverse=True)


def _flush(path: Path) -> None:
    """Flush a file, or a folder's entries, to disk (fsync)."""
    is_folder = path.is_dir()
    if is_folder and os.name == "nt":
        return  # Windows has no handle for a folder
    # Windows flushes only what may be written.
    descriptor = os.open(path, os.O_RDONLY if is_folder else os.O_RDWR)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if not is_folder or error.errno not in _NOT_FOR_FOLDERS:
            raise
    finally:
        os.close(descriptor)

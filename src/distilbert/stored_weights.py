"""Weights of a checkpoint's files as NumPy arrays, by PyTorch's names and layout."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from distilbert.hub import Source, find_weights
from distilbert.keymap import from_keras_file


class SafeWeights(Mapping[str, NDArray[Any]]):
    """The tensors of safetensors files, each read when it is asked for.

    A file that transformers' TensorFlow classes wrote shows the names and layout of PyTorch's.
    """

    def __init__(self, paths: Iterable[Path]) -> None:
        self._home: dict[str, tuple[Any, Path, str, bool]] = {}
        for path in paths:
            try:
                file = safe_open(path, framework="np")
                names = list(file.keys())
                is_keras = (file.metadata() or {}).get("format") == "tf"
            except (SafetensorError, OSError) as error:
                raise ValueError(f"{path} is not a valid safetensors file: {error}") from error
            for stored in names:
                name, transposed = from_keras_file(stored) if is_keras else (stored, False)
                if name in self._home:
                    raise ValueError(f"{path} holds {name}, and so does {self._home[name][1]}")
                self._home[name] = (file, path, stored, transposed)

    def __getitem__(self, name: str) -> NDArray[Any]:
        file, path, stored, transposed = self._home[name]
        try:
            value = file.get_tensor(stored)
        except (SafetensorError, TypeError, ValueError) as error:
            raise ValueError(f"{path}: {name} cannot be read: {error}") from error
        return value.T if transposed else value

    def __iter__(self) -> Iterator[str]:
        return iter(self._home)

    def __len__(self) -> int:
        return len(self._home)


def read_safe_weights(source: Source) -> SafeWeights:
    """Return the weights of a checkpoint's safetensors.

    Raises:
        OSError: there are none.
        ValueError: a file is damaged, or lacks what its index says it holds.
    """
    promised = find_weights(source, use_safetensors=True)
    weights = SafeWeights(promised)
    for path, names in promised.items():
        absent = sorted(names - weights.keys())
        if absent:
            raise ValueError(f"{path} does not hold {absent[0]}, which its index says it does")
    return weights

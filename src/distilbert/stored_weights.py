"""Weights of a checkpoint's safetensors, by PyTorch's names and layout, read one by one."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

from safetensors import SafetensorError, safe_open

from distilbert.hub import Source
from distilbert.keymap import from_keras_file
from distilbert.weight_files import find_weights, require_promised


class SafeWeights(Mapping[str, Any]):
    """The tensors of safetensors files, each read when it is asked for."""

    framework: ClassVar[str]
    """The kind of the tensors, by the library's name for it."""

    def __init__(self, paths: Iterable[Path]) -> None:
        self._home: dict[str, tuple[Any, Path, str, bool]] = {}
        for path in paths:
            try:
                file = safe_open(path, framework=self.framework)
                entries = list(self._entries(file))
            except (SafetensorError, OSError) as error:
                raise ValueError(f"{path} is not a valid safetensors file: {error}") from error
            for name, stored, transposed in entries:
                if name in self._home:
                    raise ValueError(f"{path} holds {name}, and so does {self._home[name][1]}")
                self._home[name] = (file, path, stored, transposed)

    def _entries(self, file: Any) -> Iterator[tuple[str, str, bool]]:
        """Yield each weight's name, its name in the file, and whether it is transposed there."""
        names: list[str] = file.keys()
        for name in names:
            yield name, name, False

    def __getitem__(self, name: str) -> Any:
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


class SafeArrays(SafeWeights):
    """As NumPy arrays; of files that transformers' TensorFlow classes wrote, too."""

    framework = "np"

    def _entries(self, file: Any) -> Iterator[tuple[str, str, bool]]:
        if (file.metadata() or {}).get("format") != "tf":
            yield from super()._entries(file)
            return
        names: list[str] = file.keys()
        for stored in names:
            name, transposed = from_keras_file(stored)
            yield name, stored, transposed


def read_arrays(source: Source) -> SafeArrays:
    """Return the weights of a checkpoint's safetensors as NumPy arrays.

    Raises:
        OSError: there are none.
        ValueError: a file is damaged, or lacks what its index says it holds.
    """
    promised = find_weights(source, use_safetensors=True)
    weights = SafeArrays(promised)
    require_promised(promised, weights)
    return weights

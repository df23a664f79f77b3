"""A checkpoint's weights for a network: float32, by their names in the modules, checked."""

import numpy as np
from numpy.typing import NDArray

from distilbert import checkpoint, keymap
from distilbert.config import PretrainedConfig
from distilbert.hub import CONFIG_FILE, Source
from distilbert.stored_weights import read_arrays


class Weights:
    """The weights of a checkpoint, by the names in the modules without the encoder's prefix."""

    def __init__(self, source: Source, config: PretrainedConfig) -> None:
        self._source, self._class = source, (config.architectures or [""])[0]
        self._stored = read_arrays(source)
        self._names = keymap.by_module_name(self._stored)
        if config.tie_word_embeddings and keymap.WORDS in self._names:
            self._names[keymap.DECODER] = self._names[keymap.WORDS]

    def __contains__(self, name: str) -> bool:
        return name in self._names

    def take(self, name: str, *shape: int) -> NDArray[np.float32]:
        """Return one.

        Raises:
            ValueError: it is not there, has another shape, or values that are not finite.
        """
        if name not in self._names:
            raise ValueError(
                f"{self._source} is not a whole {self._class}: {name} is missing; "
                f"{checkpoint.NOT_TRAINED}"
            )
        stored = self._names[name]
        value = np.asarray(self._stored[stored], np.float32)
        if value.shape != shape:
            raise ValueError(
                f"{self._source}: {stored} has shape {value.shape}, and by {CONFIG_FILE} {shape}"
            )
        if not np.isfinite(value).all():
            raise ValueError(f"{self._source}: {stored} has values that are not finite")
        return value

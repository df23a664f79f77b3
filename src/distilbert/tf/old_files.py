"""Files that transformers' TensorFlow classes wrote: Keras's names, and `tf_model.h5`."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np

from distilbert.keymap import from_keras_file

KERAS_WEIGHTS = "tf_model.h5"


def read_h5(path: Path) -> dict[str, np.ndarray]:
    """Read the weights of a `tf_model.h5` under PyTorch's names.

    A weight is in `<part>/<model>/<name>`: the outer two say where it is used.

    Raises:
        ValueError: the file is damaged, or holds something else.
    """
    weights: dict[str, np.ndarray] = {}

    def visit(name: str, item: Any) -> None:
        if not isinstance(item, h5py.Dataset):
            return
        if name.count("/") < 2:
            raise ValueError(f"{path} does not hold a model's weights: it has {name!r}")
        own, transposed = from_keras_file(name.split("/", 2)[2])
        value = np.asarray(item)
        weights[own] = value.T if transposed else value

    try:
        with h5py.File(path, "r") as file:
            file.visititems(visit)
    except OSError as error:
        raise ValueError(f"{path} is not a valid HDF5 file: {error}") from error
    return weights

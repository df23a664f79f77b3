"""Weights of a Keras model under the names that files have, in and out of files.

The files are PyTorch's: a linear layer's matrix is (out, in) there and (in, out) in Keras.
"""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from safetensors.numpy import save_file

from distilbert import keymap
from distilbert.checkpoint import saved_config
from distilbert.hub import Source
from distilbert.matching import match
from distilbert.stored_weights import read_arrays
from distilbert.tf.old_files import KERAS_WEIGHTS, read_h5
from distilbert.weight_files import TORCH_INDEX, TORCH_WEIGHTS, write_weights

if TYPE_CHECKING:
    from distilbert.tf.pretrained import TFDistilBertPreTrainedModel

_WEIGHT_DTYPES = ("float32", "float16", "bfloat16", "float64")
QUANTISED = (
    "Keras's quantisation is not supported here. For 8 bits save_pretrained(folder) the model as "
    'it was, then distilbert.load(folder, precision="int8") with PyTorch, or distilbert export '
    '--precision int8; for LiteRT model.export(path, "litert", '
    "optimizations=[tf.lite.Optimize.DEFAULT])"
)


@dataclass(frozen=True)
class Weight:
    """A variable, or with Keras's `enable_lora` a sum.

    Args:
        layer: that it belongs to.
        transposed: whether files hold it so.
    """

    variable: Any
    layer: Any
    transposed: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape in a file."""
        shape = tuple(self.variable.shape)
        return shape[::-1] if self.transposed else shape

    @property
    def frozen(self) -> bool:
        """Whether it is not trained."""
        return not (self.layer.trainable and getattr(self.variable, "trainable", True))

    def read(self) -> np.ndarray:
        """Return the value as a file holds it."""
        value = values_of(self.variable)
        return np.ascontiguousarray(value.T if self.transposed else value)

    def assign(self, value: np.ndarray) -> None:
        """Take the value that a file holds."""
        value = value.astype(self.variable.dtype)
        self.variable.assign(value.T if self.transposed else value)


def values_of(variable: Any) -> np.ndarray:
    """Return the values of a variable or tensor on the host."""
    value = getattr(variable, "value", variable)
    return np.asarray(value.numpy() if hasattr(value, "numpy") else value)


def named_weights(model: "TFDistilBertPreTrainedModel") -> dict[str, Weight]:
    """Return a model's weights by the names that files have, which are the PyTorch model's.

    Raises:
        ValueError: a layer was quantised, or has no weights yet.
    """
    return dict(_below(model if model.has_head else model.distilbert))


def _below(layer: Any, prefix: str = "") -> Iterator[tuple[str, Weight]]:
    """Yield every weight below a layer with its name there."""
    if layer.quantization_mode is not None:
        raise ValueError(f"{layer.name} is quantised ({layer.quantization_mode}). {QUANTISED}")
    kinds = (keras.layers.Dense, keras.layers.Embedding, keras.layers.LayerNormalization)
    if isinstance(layer, kinds) and not layer.built:
        raise ValueError(
            f"the layer {prefix.rstrip('.')} has no weights yet: build it in the constructor, with "
            "layer.build((None, size of its input))"
        )
    if isinstance(layer, keras.layers.Dense):
        yield f"{prefix}weight", Weight(layer.kernel, layer, transposed=True)
        yield f"{prefix}bias", Weight(layer.bias, layer)
    elif isinstance(layer, keras.layers.Embedding):
        yield f"{prefix}weight", Weight(layer.embeddings, layer)
    elif isinstance(layer, keras.layers.LayerNormalization):
        yield f"{prefix}weight", Weight(layer.gamma, layer)
        yield f"{prefix}bias", Weight(layer.beta, layer)
    else:
        for name, part in vars(layer).items():
            if name.startswith("_"):
                continue
            if isinstance(part, keras.Variable):
                yield prefix + name, Weight(part, layer)
            elif isinstance(part, keras.layers.Layer):
                yield from _below(part, f"{prefix}{name}.")
            elif isinstance(part, list):
                for number, item in enumerate(part):
                    if isinstance(item, keras.layers.Layer):
                        yield from _below(item, f"{prefix}{name}.{number}.")


def read_weights(source: Source) -> Mapping[str, np.ndarray]:
    """Return the weights of a checkpoint by PyTorch's names: safetensors, or `tf_model.h5`.

    Raises:
        OSError: there are none.
        ValueError: a file is damaged, or only PyTorch can read it.
    """
    try:
        return read_arrays(source)
    except OSError:
        path = source.find(KERAS_WEIGHTS)
        if path is not None:
            return read_h5(path)
        for name in (TORCH_WEIGHTS, TORCH_INDEX):
            if source.find(name) is not None:
                raise ValueError(
                    f"{source} has only {name}, which takes PyTorch to read: open it with the "
                    "PyTorch class of the same name (without TF) and save_pretrained it once"
                ) from None
        raise


def load_weights(
    model: "TFDistilBertPreTrainedModel",
    weights: Mapping[str, np.ndarray],
    *,
    name: str,
    ignore_mismatched_sizes: bool,
) -> dict[str, list[Any]]:
    """Fill a model with the weights of a checkpoint and report what was new or unused.

    Raises:
        ValueError: nothing fits, a shape does not, or a weight holds no numbers.
    """
    own = named_weights(model)
    found = match(
        model,
        {full: weight.shape for full, weight in own.items()},
        weights,
        name=name,
        ignore_mismatched_sizes=ignore_mismatched_sizes,
        unfit=lambda value: "" if str(value.dtype) in _WEIGHT_DTYPES else str(value.dtype),
    )
    for full, file_name in found.taken.items():
        value = weights[file_name]
        if found.token_type is not None and full.endswith(keymap.POSITIONS):
            value = value.astype(np.float32) + found.token_type.astype(np.float32)
        own[full].assign(value)
    if model.config.tie_word_embeddings and keymap.DECODER in found.unused:
        model.untie_if_different(weights[found.unused.pop(keymap.DECODER)], name)
    return found.report(model, name, [full for full in own if full not in found.taken])


def save_model(
    model: "TFDistilBertPreTrainedModel",
    folder: str | os.PathLike[str],
    max_shard_size: int | str,
) -> None:
    """Write `config.json` and the weights, in one file or in shards with an index."""
    tensors = {name: weight.read() for name, weight in named_weights(model).items()}
    config = saved_config(model.config, type(model).__name__.removeprefix("TF"))
    config["dtype"] = str(next(iter(tensors.values())).dtype)
    write_weights(folder, tensors, max_shard_size, config, save_file)

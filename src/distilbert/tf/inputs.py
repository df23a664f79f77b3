"""Checks on the inputs of a call, and the mask as what is added to attention scores.

Shapes are looked at wherever they are known, values only where they are already on the host, so no
check waits for a device, and in a graph or under a compiler those on values vanish.
"""

from collections.abc import Mapping
from typing import Any

import ml_dtypes
import numpy as np
from keras import InputSpec, KerasTensor, ops, tree
from keras.src.backend.common.symbolic_scope import in_symbolic_scope

from distilbert.config import PretrainedConfig

# A size that is not known before the graph runs is None.
Size = int | None
Sizes = tuple[Size, ...]


def is_tensor(x: Any) -> bool:
    """Whether this is an array or tensor, symbolic ones included."""
    return isinstance(x, np.ndarray | KerasTensor) or bool(ops.is_tensor(x))


def sizes(x: Any) -> Sizes:
    """Return the shape, None for each size that is not known yet."""
    return tuple(x.shape)


def fits(shape: Sizes, wanted: Sizes) -> bool:
    """Whether two shapes may be the same."""
    return len(shape) == len(wanted) and all(
        a is None or b is None or a == b for a, b in zip(shape, wanted, strict=True)
    )


def dtype_of(x: Any) -> str:
    """Return the type's name, `int32` for every framework's int32."""
    dtype = x.dtype
    return str(getattr(dtype, "name", dtype))


def infers_shapes() -> bool:
    """Whether Keras only infers shapes, as when it builds a parent model that it opens from a file.

    Its placeholders are float32, whatever the real inputs are.
    """
    return bool(in_symbolic_scope())


def on_host(x: Any) -> np.ndarray | None:
    """Return the values if they are in the host's memory, None otherwise."""
    if isinstance(x, np.ndarray):
        return x
    if hasattr(x, "numpy") and "CPU" in str(getattr(x, "device", "")):  # TensorFlow's, eager
        return np.asarray(x.numpy())
    return None


def check_integers(name: str, x: Any) -> None:
    """Refuse what does not hold int64 or int32.

    Raises:
        TypeError: that is so.
    """
    if not is_tensor(x):
        raise TypeError(
            f"{name} must be an array or a tensor, got {type(x).__name__} "
            '(from a tokenizer: return_tensors="tf")'
        )
    if dtype_of(x) not in ("int64", "int32") and not infers_shapes():
        raise TypeError(f"{name} must be int64 or int32, got {dtype_of(x)}")


def check_kinds(given: Mapping[str, Any]) -> None:
    """Refuse tensors of PyTorch, ragged ones, and those whose number of axes is unknown.

    Raises:
        TypeError, ValueError: there is one.
    """
    for name, x in given.items():
        if type(x).__module__ == "torch":
            raise TypeError(f"{name} is a torch.{type(x).__name__}: give {name}.numpy()")
        if hasattr(x, "row_splits"):
            raise TypeError(
                f"{name} is a RaggedTensor: give {name}.to_tensor(), padded, and an attention_mask "
                "that is 0 at the padding"
            )
        if is_tensor(x) and getattr(x.shape, "rank", 0) is None:  # a TensorFlow shape, in a graph
            raise ValueError(
                f"{name} has an unknown number of axes, as what tf.py_function returns has; where "
                f"it is made say {name}.set_shape((None, None)), with a None for each axis"
            )


def check_range(name: str, ids: Any, count: int, what: str = "the model knows") -> None:
    """Name the first id outside 0 … count - 1, where values can be looked at.

    Raises:
        IndexError: there is one.
    """
    values = on_host(ids)
    if values is not None and values.size and (values.min() < 0 or values.max() >= count):
        outside = values[(values < 0) | (values >= count)]
        raise IndexError(f"{name} holds {outside[0]}; {what} 0 to {count - 1}")


def check(
    config: PretrainedConfig,
    input_ids: Any = None,
    inputs_embeds: Any = None,
    attention_mask: Any = None,
    position_ids: Any = None,
    head_mask: Any = None,
) -> tuple[Size, Size]:
    """Check a batch of sequences and return (B, T) as far as they are known.

    Raises:
        ValueError: both or neither of ids and embeddings, a wrong shape, or a sequence longer
            than the model has positions for.
        TypeError: ids that are not integers.
        IndexError: an id outside the vocabulary or the positions.
    """
    if (input_ids is None) == (inputs_embeds is None):
        given = "neither was" if input_ids is None else "both were"
        raise ValueError(f"give either input_ids or inputs_embeds; {given} given")
    if input_ids is not None:
        check_integers("input_ids", input_ids)
        shape = sizes(input_ids)
        if len(shape) != 2:
            raise ValueError(f"input_ids must be (batch, tokens), got {shape}")
        check_range("input_ids", input_ids, config.vocab_size)
    else:
        shape = sizes(inputs_embeds)
        if not fits(shape, (None, None, config.dim)):
            raise ValueError(f"inputs_embeds must be (batch, tokens, {config.dim}), got {shape}")
    batch, length = shape[:2]
    if length == 0:
        raise ValueError("the sequences have no token; every text has at least [CLS] and [SEP]")
    if position_ids is not None:
        _check_positions(config, position_ids, batch, length)
    elif length is not None and length > config.max_position_embeddings:
        raise ValueError(
            f"the sequences have {length} tokens, the model has positions for "
            f"{config.max_position_embeddings}: cut them (tokenizer(…, truncation=True, "
            f"max_length={config.max_position_embeddings})) or give the model more "
            f"(model.resize_position_embeddings({length}))"
        )
    if attention_mask is not None:
        heads = 1 if config.pruned_heads else config.n_heads
        _check_mask(attention_mask, heads, batch, length)
    if head_mask is not None:
        if not is_tensor(head_mask):
            raise TypeError(f"head_mask must be an array or a tensor, got {head_mask!r}")
        layers, heads = config.n_layers, config.n_heads
        if sizes(head_mask) not in ((heads,), (layers, heads)):
            raise ValueError(
                f"head_mask must be ({heads},) or ({layers}, {heads}), got {sizes(head_mask)}"
            )
    return batch, length


def _check_positions(config: PretrainedConfig, positions: Any, batch: Size, length: Size) -> None:
    check_integers("position_ids", positions)
    wanted = ((batch, length), (1, length), (length,))
    if not any(fits(sizes(positions), each) for each in wanted):
        raise ValueError(
            f"position_ids must be ({batch}, {length}) or (1, {length}), got {sizes(positions)}"
        )
    check_range("position_ids", positions, config.max_position_embeddings)


def _check_mask(mask: Any, heads: int, batch: Size, length: Size) -> None:
    if not is_tensor(mask):
        raise TypeError(f"attention_mask must be an array or a tensor, got {type(mask).__name__}")
    shape = sizes(mask)
    possible = [(batch, length), (batch, length, length)]
    if len(shape) == 4:
        given = (batch, heads, length, length)
        possible = [tuple(1 if s == 1 else g for s, g in zip(shape, given, strict=True))]
    if not any(fits(shape, each) for each in possible):
        one_or_all = "1" if heads == 1 else f"1 or {heads}"
        raise ValueError(
            f"attention_mask must be ({batch}, {length}), ({batch}, {length}, {length}) or "
            f"({batch}, {one_or_all}, {length}, {length}), got {shape}"
        )


def signature(shape: Sizes) -> list[dict[str, Any]]:
    """Return what Keras's exporters take as inputs: ids and mask, int32, of one shape."""
    names = ("input_ids", "attention_mask")
    return [{name: InputSpec(dtype="int32", shape=shape, name=name) for name in names}]


def check_fixed(signature: Any) -> None:
    """Refuse what JAX cannot export: only the batch may be of any size.

    Raises:
        ValueError: another size is None.
    """
    for spec in tree.flatten(signature):
        shape = tuple(spec.shape)
        if None in shape[1:]:
            sizes = "tokens=128" if len(shape) == 2 else "tokens=128, choices=4"
            raise ValueError(
                f"with JAX only the batch of an exported model may be of any size, and "
                f"{spec.name} is {shape}: fix the others, as in "
                f"input_signature=model.input_signature({sizes})"
            )


def lowest(dtype: str) -> float:
    """Return the smallest finite number of a type: the score of what may not be looked at."""
    return float(ml_dtypes.finfo(dtype).min)


def attention_bias(mask: Any, dtype: str) -> Any:
    """Return what is added to the scores, broadcastable to (B, H, T, T); None for nothing.

    A masked score gets the smallest finite number of `dtype`, so that a row of which everything is
    masked stays finite (all its tokens weigh the same).

    Args:
        mask: (B, T), not 0 keeps; (B, T, T) or (B, 1, T, T): floating is added, other keeps.
    """
    if mask is None:
        return None
    per_token = len(mask.shape) == 2
    if per_token:
        mask = ops.reshape(mask, (-1, 1, 1, ops.shape(mask)[1]))  # (B, T) -> (B, 1, 1, T)
    elif len(mask.shape) == 3:
        mask = ops.expand_dims(mask, 1)  # (B, T, T) -> (B, 1, T, T)
    if "float" in dtype_of(mask) and not per_token:
        return ops.cast(ops.maximum(mask, lowest(dtype_of(mask))), dtype)
    keep = mask if dtype_of(mask) == "bool" else ops.not_equal(mask, 0)
    zero = ops.zeros((), dtype)
    return ops.where(keep, zero, ops.convert_to_tensor(lowest(dtype), dtype))

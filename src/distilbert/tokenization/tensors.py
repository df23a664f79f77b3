"""Lists of integers to tensors of NumPy, PyTorch or TensorFlow, and back.

The only place of the tokenizers where a framework is imported, and only when it is asked for.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, get_args

from distilbert.extras import require
from distilbert.fields import one_of
from distilbert.tokenization.options import TensorKind

if TYPE_CHECKING:
    import numpy as np

_kinds = one_of(*get_args(TensorKind))
_PADDED = {"input_ids", "token_type_ids", "attention_mask", "special_tokens_mask"}
PER_TOKEN = {*_PADDED, "offset_mapping"}
_PAD_IT = "pass padding=True, and truncation=True with max_length=… if some are too long"
_NOT_PADDED = "padding fills up the model's inputs only: pad or drop it first"


def tensor_kind(kind: Any) -> TensorKind:
    """Return the name of a framework as this module spells it.

    Raises:
        ValueError: it is none of `np`, `pt` and `tf`.
    """
    return _kinds("return_tensors", kind)


def to_tensor(name: str, values: Any, kind: TensorKind) -> Any:
    """Turn a list, or a list of lists of equal length, into a tensor; a tensor of this kind stays.

    Python's numbers become what the framework makes of them (float32 in PyTorch and TensorFlow,
    float64 in NumPy); arrays and tensors, alone or in a list, keep their type.

    Args:
        name: what the values are, for the message of an error.

    Raises:
        ImportError: the framework is not installed.
        ValueError: the lists are ragged, nested too deeply or do not hold numbers.
    """
    if kind_of(values) == kind:
        return values
    array = _to_array(name, values)
    if kind == "np":
        return array
    typed = kind_within(values) is not None
    if kind == "pt":
        torch = require("torch")
        tensor = torch.from_numpy(array)
        return tensor if typed or array.dtype.kind != "f" else tensor.to(torch.get_default_dtype())
    return require("tensorflow").constant(array if typed else _as_tensorflow_has_it(array))


def kind_within(values: Any) -> TensorKind | None:
    """Return which framework's tensor a value is, or what a list of tensors starts with."""
    listed = isinstance(values, Sequence) and values
    return kind_of(values[0] if listed else values)


def _as_tensorflow_has_it(array: "np.ndarray") -> "np.ndarray":
    """Return numbers in the type of TensorFlow for Python's, unless an integer is too large."""
    if array.dtype.kind == "f":
        return array.astype("float32")
    if array.dtype.kind != "i" or (array.size and abs(array).max() >= 1 << 31):
        return array
    return array.astype("int32")


def _to_array(name: str, values: Any) -> "np.ndarray":
    import numpy as np

    if kind_of(values) is not None:
        values = np.asarray(values)
    elif kind_within(values) is not None:
        values = [np.asarray(value) for value in values]
    try:
        array = np.array(values)
    except (ValueError, OverflowError) as error:
        raise ValueError(_explain(name, values)) from error
    if array.size == 0 and array.dtype.kind == "f":
        return array.astype(np.int64)
    if array.dtype.kind not in "biuf":
        raise ValueError(_explain(name, values))
    return array


def _explain(name: str, values: Any) -> str:
    if isinstance(values, Sequence) and all(isinstance(row, Sequence) for row in values):
        lengths = [len(row) for row in values]
        if lengths and min(lengths) != max(lengths):
            remedy = _PAD_IT if name in _PADDED else _NOT_PADDED
            return (
                f"the rows of {name!r} have different lengths (from {min(lengths)} to "
                f"{max(lengths)}), so they do not make a tensor; {remedy}"
            )
    return f"{name!r} does not make a tensor: it must hold numbers, in lists of equal length"


def kind_of(value: Any) -> TensorKind | None:
    """Return which framework's tensor a value is, None for anything else; imports nothing."""
    for cls in type(value).__mro__:
        home, _, _ = cls.__module__.partition(".")
        if home == "numpy" and cls.__name__ in {"ndarray", "generic"}:
            return "np"
        if home == "torch" and cls.__name__ == "Tensor":
            return "pt"
        if home == "tensorflow" and cls.__name__ in {"Tensor", "EagerTensor", "_EagerTensorBase"}:
            return "tf"
    return None


def to_lists(value: Any) -> Any:
    """Turn tensors, alone or in lists, into plain Python numbers and lists."""
    kind = kind_of(value)
    if kind == "tf":
        return value.numpy().tolist()
    if kind is not None:
        return value.tolist()
    if isinstance(value, list | tuple):
        return [to_lists(item) for item in value]
    return value


def to_ids(value: Any) -> list[int]:
    """Return one row of ids, whatever it comes in: a list, an array, a tensor, any iterable.

    Raises:
        TypeError: it is no row.
        ValueError: not all of it are integers.
    """
    row = value if kind_of(value) is None else to_lists(value)
    if isinstance(row, str | bytes | Mapping) or not isinstance(row, Iterable):
        raise TypeError(f"expected a row of ids, not {value!r:.60} ({type(value).__name__})")
    ids = list(row)
    if set(map(type, ids)) <= {int}:
        return ids
    ids = [each if isinstance(each, int) else to_lists(each) for each in ids]
    for each in ids:
        if not isinstance(each, int):
            raise ValueError(
                f"an id is an integer, not {each!r:.60}; for a batch of rows use batch_decode"
            )
    return ids


def is_device(value: Any) -> bool:
    """Whether a value names a PyTorch device (and is not, say, a dtype)."""
    return isinstance(value, str | int) or (
        type(value).__module__ == "torch" and type(value).__name__ == "device"
    )

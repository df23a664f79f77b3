"""Rows of ids to arrays: batches of rows of similar length, within a budget of tokens."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Outputs = dict[str, NDArray[Any]]


class Row(NamedTuple):
    """One sequence for the model, without padding."""

    ids: list[int]
    types: list[int]


def run(
    model: Callable[..., Any],
    rows: Sequence[Row],
    names: Sequence[str],
    take: Callable[[int, Outputs], Any],
    *,
    batch_tokens: int,
    with_types: bool,
    with_choices: bool = False,
) -> list[Any]:
    """Return what `take` keeps of the model's outputs for each row, in the rows' order.

    Args:
        model: called with `input_ids` and `attention_mask`, int64 (B, T), and perhaps
            `token_type_ids`; returns a mapping, a sequence of arrays or one array.
        names: the outputs that are wanted; a model that returns no mapping returns them in order.
        take: gets a row's number and its part of each output, and copies what it keeps.
        batch_tokens: most tokens per batch, padding included; a longer row goes alone.
        with_types: whether the model wants token types.
        with_choices: whether it wants (B, 1, T): each row as the only choice of a question.

    Raises:
        ValueError: the outputs are not there, or are for another number of rows.
    """
    kept: list[Any] = [None] * len(rows)
    order = sorted(range(len(rows)), key=lambda i: -len(rows[i].ids))
    at = 0
    while at < len(order):
        length = max(len(rows[order[at]].ids), 1)
        batch = order[at : at + max(batch_tokens // length, 1)]
        at += len(batch)
        inputs = {
            "input_ids": _padded([rows[i].ids for i in batch], length),
            "attention_mask": _padded([[1] * len(rows[i].ids) for i in batch], length),
        }
        if with_types:
            inputs["token_type_ids"] = _padded([rows[i].types for i in batch], length)
        if with_choices:
            inputs = {name: values[:, None] for name, values in inputs.items()}
        outputs = _named(model(**inputs), names)
        for name, values in outputs.items():
            if values.ndim == 0 or len(values) != len(batch):
                raise ValueError(
                    f"the model gave {name} of shape {values.shape} for {len(batch)} rows"
                )
        for place, i in enumerate(batch):
            kept[i] = take(i, {name: values[place] for name, values in outputs.items()})
    return kept


def _padded(rows: Sequence[Sequence[int]], length: int) -> NDArray[np.int64]:
    """Fill up with 0 on the right; what is there is masked."""
    result = np.zeros((len(rows), length), np.int64)
    for row, values in zip(result, rows, strict=True):
        row[: len(values)] = values
    return result


def _named(output: Any, names: Sequence[str]) -> Outputs:
    if isinstance(output, Mapping):
        absent = [name for name in names if name not in output]
        if absent:
            raise ValueError(
                f"the model gave {', '.join(output)}, and this task reads {', '.join(names)}: "
                "it has another head"
            )
        values = [output[name] for name in names]
    elif isinstance(output, tuple | list):
        if len(output) < len(names):
            raise ValueError(f"the model gave {len(output)} outputs, this task needs {len(names)}")
        values = list(output[: len(names)])
    else:
        values = [output]
        if len(names) > 1:
            raise ValueError(f"the model gave one array, this task needs {', '.join(names)}")
    return {n: np.asarray(v, np.float32) for n, v in zip(names, values, strict=True)}

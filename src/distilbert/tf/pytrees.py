"""Outputs as trees: what `predict`, functional models and JAX look into."""

import importlib
from functools import partial
from typing import Any

import keras
import optree

from distilbert.outputs import ALL_OUTPUTS, ModelOutput


def _flatten(output: Any) -> tuple[list[Any], tuple[str, ...], tuple[str, ...]]:
    names = tuple(output)
    return list(output.values()), names, names


def _unflatten(cls: type[ModelOutput], names: Any, values: Any) -> ModelOutput:
    output = cls()
    # Not the constructor, which leaves out None: a tree keeps its shape whatever its leaves are.
    dict.update(output, zip(names, values, strict=True))
    return output


def register() -> None:
    """Make every output class a node of Keras's trees, and of JAX's where that is the backend."""
    for output_class in ALL_OUTPUTS:
        unflatten = partial(_unflatten, output_class)
        optree.register_pytree_node(output_class, _flatten, unflatten, namespace="keras")
        if keras.backend.backend() == "jax":
            jax = importlib.import_module("jax")
            jax.tree_util.register_pytree_node(
                output_class, lambda output: _flatten(output)[:2], unflatten
            )

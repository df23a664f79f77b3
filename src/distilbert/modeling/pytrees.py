"""Outputs as what PyTorch looks into: pytrees (DDP, `torch.export`, `torch.func`), and dicts."""

import json
from functools import partial
from typing import Any

import torch
from torch.utils._pytree import MappingKey, register_pytree_node

from distilbert.outputs import ALL_OUTPUTS, ModelOutput


def _flatten(output: ModelOutput) -> tuple[list[Any], list[str]]:
    return list(output.values()), list(output)


def _flatten_with_keys(output: ModelOutput) -> tuple[list[tuple[Any, Any]], list[str]]:
    return [(MappingKey(name), value) for name, value in output.items()], list(output)


def _unflatten(cls: type[ModelOutput], values: Any, names: Any) -> ModelOutput:
    output = cls()
    # Not the constructor, which leaves out None: a tree keeps its shape whatever its leaves are.
    dict.update(output, zip(names, values, strict=True))
    return output


# `torch.jit.trace` would compile the classes, and then could not return them; of what is ignored
# it sees the dict.
torch.jit.ignore(ModelOutput)

for output_class in ALL_OUTPUTS:
    register_pytree_node(
        output_class,
        _flatten,
        partial(_unflatten, output_class),
        serialized_type_name=f"distilbert.outputs.{output_class.__name__}",
        to_dumpable_context=json.dumps,
        from_dumpable_context=json.loads,
        flatten_with_keys_fn=_flatten_with_keys,
    )

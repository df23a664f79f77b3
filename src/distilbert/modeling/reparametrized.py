"""Weights that are computed from others: `torch.nn.utils.prune` and `parametrize`."""

from typing import TYPE_CHECKING

from torch import nn
from torch.nn.utils.parametrize import is_parametrized
from torch.nn.utils.prune import BasePruningMethod

if TYPE_CHECKING:
    from distilbert.modeling.pretrained import PreTrainedModel


def require_own_weights(*modules: nn.Module | None) -> None:
    """Refuse modules with a weight that is computed: it cannot be replaced.

    Raises:
        ValueError: there is one; the message says how to make it a weight again.
    """
    for module in modules:
        for name, part in () if module is None else module.named_modules():
            if is_parametrized(part):
                _refuse(name, part, "torch.nn.utils.parametrize.remove_parametrizations")
            _require_not_pruned(name, part)


def require_saved_weights(model: "PreTrainedModel") -> None:
    """Refuse a model that a file would not give back.

    A class of one's own may have been given parametrized layers by its constructor, in the head: it
    makes them again.

    Raises:
        ValueError: as `require_own_weights`.
    """
    if type(model).__module__.startswith("distilbert."):
        require_own_weights(model)
        return
    require_own_weights(model.base_model)
    for name, part in model.named_modules():
        _require_not_pruned(name, part)


def _require_not_pruned(name: str, module: nn.Module) -> None:
    if any(isinstance(h, BasePruningMethod) for h in module._forward_pre_hooks.values()):
        _refuse(name, module, "torch.nn.utils.prune.remove")


def _refuse(name: str, module: nn.Module, remedy: str) -> None:
    raise ValueError(
        f"a weight of {name or type(module).__name__} is computed from others; call {remedy} first"
    )

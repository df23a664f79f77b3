"""Weights that are computed from others: `torch.nn.utils.prune` and `parametrize`."""

from torch import nn
from torch.nn.utils.parametrize import is_parametrized
from torch.nn.utils.prune import BasePruningMethod


def require_own_weights(model: nn.Module) -> None:
    """Refuse a model with a weight that is computed: it can be neither replaced nor saved.

    Raises:
        ValueError: there is one; the message says how to make it a weight again.
    """
    for name, module in model.named_modules():
        if is_parametrized(module):
            remedy = "torch.nn.utils.parametrize.remove_parametrizations"
        elif any(isinstance(h, BasePruningMethod) for h in module._forward_pre_hooks.values()):
            remedy = "torch.nn.utils.prune.remove"
        else:
            continue
        raise ValueError(f"a weight of {name} is computed from others; call {remedy} first")

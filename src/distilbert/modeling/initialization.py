"""First values of weights, as the original code draws them."""

import torch
from torch import Tensor, nn

from distilbert.config import PretrainedConfig
from distilbert.modeling.model import PositionEmbedding, sinusoids

_KINDS = (nn.Linear, nn.Embedding, nn.LayerNorm)


def knows(model: nn.Module) -> bool:
    """Whether `initialize` can give every value in a model.

    Not those of layers of other kinds, bare parameters and buffers, which a user's class may have;
    their own constructors draw them.
    """
    return not any(True for _ in model.buffers()) and all(
        isinstance(module, _KINDS) or not [*module.parameters(recurse=False)]
        for module in model.modules()
    )


@torch.no_grad()
def initialize(module: nn.Module, name: str, parameter: Tensor, config: PretrainedConfig) -> None:
    """Give one parameter of a module its first value; other kinds of modules keep theirs.

    Matrices are normal with `initializer_range`, the padding token's row 0, biases 0, layer
    normalisations 1; sinusoidal positions are `sinusoids`.
    """
    if parameter.is_meta or not isinstance(module, _KINDS):
        return
    if name == "bias":
        parameter.zero_()
    elif isinstance(module, nn.LayerNorm):
        parameter.fill_(1.0)
    elif isinstance(module, PositionEmbedding) and config.sinusoidal_pos_embds:
        parameter.copy_(sinusoids(*parameter.shape))
    else:
        parameter.normal_(0.0, config.initializer_range)
        if isinstance(module, nn.Embedding) and module.padding_idx is not None:
            parameter[module.padding_idx].zero_()

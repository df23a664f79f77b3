"""Which layers a model keeps, which are trained, and how fast."""

import re
from collections.abc import Callable, Sequence

from torch import nn

from distilbert.modeling.pretrained import PreTrainedModel

_LAYER = re.compile(r"\btransformer\.layer\.(\d+)\.")


def depth_of(name: str) -> int | None:
    """Return the layer of a parameter, -1 for the embeddings, None for a head.

    >>> depth_of("model.bert.transformer.layer.3.ffn.lin1.weight"), depth_of("bert.embeddings.x")
    (3, -1)
    """
    found = _LAYER.search(name)
    if found:
        return int(found[1])
    return -1 if "embeddings" in name.split(".") else None


def keep(model: PreTrainedModel, layers: Sequence[int]) -> None:
    """Drop all other layers; none named keeps everything.

    Raises:
        ValueError: a layer that the model does not have, or one twice.
    """
    config = model.config
    if len(set(layers)) < len(layers) or any(not 0 <= each < config.n_layers for each in layers):
        raise ValueError(
            f"layers must be some of 0 to {config.n_layers - 1}, those of the model; got "
            f"{list(layers)}"
        )
    if not layers:
        return
    transformer = model.base_model.transformer
    transformer.layer = nn.ModuleList(transformer.layer[each] for each in layers)
    config.n_layers = len(layers)
    pruned = config.pruned_heads
    config.pruned_heads = {i: pruned[each] for i, each in enumerate(layers) if each in pruned}


def freeze(model: PreTrainedModel, count: int) -> None:
    """Leave the embeddings and the first so many layers as they are; 0 trains everything.

    Raises:
        ValueError: the model has fewer layers.
    """
    if not 0 <= count <= model.config.n_layers:
        raise ValueError(
            f"frozen_layers must be 0 to {model.config.n_layers}, the layers of the model; got "
            f"{count}"
        )
    for name, parameter in model.named_parameters():
        depth = depth_of(name)
        if count and depth is not None and depth < count:
            parameter.requires_grad_(False)


def rate_scale(model: PreTrainedModel, decay: float) -> Callable[[str], float]:
    """Return the factor on the learning rate of a parameter, by name (ELECTRA, arXiv 2003.10555).

    The head has 1, the last layer `decay`, every layer below it `decay` times that above.

    Raises:
        ValueError: `decay` is not above 0 and at most 1.
    """
    if not 0 < decay <= 1:
        raise ValueError(f"layer_decay must be above 0 and at most 1, got {decay}")
    layers = model.config.n_layers

    def scale(name: str) -> float:
        depth = depth_of(name)
        return 1.0 if depth is None else decay ** (layers - depth)

    return scale

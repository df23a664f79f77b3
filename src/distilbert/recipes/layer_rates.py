"""Which layers are trained, and how fast: frozen ones, and rates that fall with depth."""

import re
from collections.abc import Callable

from distilbert.modeling.heads import Head

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


def freeze(model: Head, count: int) -> None:
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


def rate_scale(model: Head, decay: float) -> Callable[[str], float]:
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

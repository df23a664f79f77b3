"""Which layers to spare when a lower precision harms a model's answers too much."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from torch import Tensor

from distilbert.harm import Inputs
from distilbert.inference.linear import FastLinear
from distilbert.modeling.arrays import ArrayModel


class Linears(Protocol):
    """A prepared model, as far as is needed here."""

    linears: dict[str, FastLinear]

    def __call__(self, **inputs: Any) -> Any:
        """Compute its outputs."""


def most_harmful(exact: Linears, fast: Linears, inputs: Sequence[Inputs]) -> list[str]:
    """Return the layers that differ, the one with the largest error of its own first.

    Every layer of `fast` gets what its twin in `exact` gets. What is compared is the layer's
    output with the residual added, where one is.
    """
    squares: dict[str, float] = {}
    total: dict[str, float] = {}

    def watch(name: str, twin: FastLinear) -> Callable[..., None]:
        def hook(_: Any, given: tuple[Any, ...], wanted: Tensor) -> None:
            squares[name] = squares.get(name, 0.0) + float((twin(*given) - wanted).square().sum())
            total[name] = total.get(name, 0.0) + float(wanted.square().sum())

        return hook

    handles = [
        linear.register_forward_hook(watch(name, fast.linears[name]))
        for name, linear in exact.linears.items()
        if fast.linears[name].kind != linear.kind
    ]
    model = ArrayModel(exact)
    try:
        for batch in inputs:
            model(**batch)
    finally:
        for handle in handles:
            handle.remove()
    return sorted(squares, key=lambda name: -squares[name] / max(total[name], 1e-30))

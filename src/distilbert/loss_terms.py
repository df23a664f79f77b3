"""What the weights of a loss's terms, and its temperature, may be."""

import math
from collections.abc import Mapping


def check_weights(weights: Mapping[str, float]) -> None:
    """Raise ValueError unless the weights are 0 or more, and finite, and one is above 0."""
    if not all(0 <= weight < math.inf for weight in weights.values()):
        raise ValueError(f"weights of terms must be 0 or more, and finite: {dict(weights)}")
    if not any(weights.values()):
        raise ValueError("all weights are 0: there is nothing to train on")


def check_temperature(temperature: float) -> None:
    """Raise ValueError unless a temperature is above 0 and finite."""
    if not 0 < temperature < math.inf:
        raise ValueError(f"temperature must be above 0 and finite, got {temperature}")

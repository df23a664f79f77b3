"""How much the loss of each label counts: named weights, or more for rare labels."""

from collections.abc import Sequence

import numpy as np

from distilbert.tasks.labels import Labels

BALANCED = "balanced"


def class_weights(settings: Sequence[str], labels: Labels, true: np.ndarray) -> np.ndarray | None:
    """Return the weight of each label, (L,) float32, or None without settings.

    Args:
        settings: `balanced`, or NAME=WEIGHT of some labels; the others have 1.
        true: numbers of the labels of the training data; -100 is none.

    Raises:
        ValueError: an unknown label, or a weight that is not above 0.

    >>> class_weights(["balanced"], Labels(("no", "yes")), np.array([0, 0, 0, 1])).tolist()
    [0.6666666865348816, 2.0]
    """
    if not settings:
        return None
    weights = np.ones(len(labels), np.float32)
    if list(settings) == [BALANCED]:
        counts = np.bincount(true[true >= 0], minlength=len(labels))
        there = counts > 0
        weights[there] = counts.sum() / (there.sum() * counts[there])
        return weights
    for setting in settings:
        name, _, value = setting.rpartition("=")
        if name not in labels.names:
            raise ValueError(
                f"class_weights: {setting!r} is neither {BALANCED!r} nor NAME=WEIGHT of a label; "
                f"they are: {', '.join(labels.names)}"
            )
        try:
            weights[labels.names.index(name)] = float(value)
        except ValueError:
            raise ValueError(f"class_weights: {value!r} of {name} is not a number") from None
    if not (np.isfinite(weights) & (weights > 0)).all():
        raise ValueError(f"class_weights must be above 0, got {list(settings)}")
    return weights

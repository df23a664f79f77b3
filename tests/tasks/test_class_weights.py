"""Weights of labels: named, or balanced as scikit-learn does."""

import numpy as np
import pytest
from sklearn.utils.class_weight import compute_class_weight

from distilbert.tasks.class_weights import class_weights
from distilbert.tasks.labels import Labels

LABELS = Labels(("no", "a=b", "yes"))


def test_balanced():
    true = np.array([0, 0, 0, 1, 2, 2, -100])
    expected = compute_class_weight("balanced", classes=np.arange(3), y=true[:-1])
    assert class_weights(["balanced"], LABELS, true) == pytest.approx(expected)
    assert class_weights(["balanced"], LABELS, np.array([0, 2])).tolist() == [1, 1, 1]


def test_named():
    assert class_weights([], LABELS, np.array([0])) is None
    found = class_weights(["yes=3", "a=b=0.5"], LABELS, np.array([0]))
    assert found.tolist() == [1.0, 0.5, 3.0]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["perhaps=3"], "'perhaps=3' is neither 'balanced' nor NAME=WEIGHT of a label; they are"),
        (["yes"], "'yes' is neither"),
        (["yes=much"], "'much' of yes is not a number"),
        (["yes=0"], "must be above 0"),
        (["yes=nan"], "must be above 0"),
    ],
)  # fmt: skip
def test_wrong_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        class_weights(settings, LABELS, np.array([0]))

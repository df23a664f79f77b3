import math

import pytest

from distilbert.loss_terms import check_temperature, check_weights


def test_weights():
    check_weights({"ce": 5.0, "mlm": 0.0})
    for wrong in (-1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match=f"0 or more, and finite: .*'mlm': {wrong}"):
            check_weights({"ce": 5.0, "mlm": wrong})
    with pytest.raises(ValueError, match="all weights are 0: there is nothing to train on"):
        check_weights({"ce": 0.0, "mlm": 0.0})


def test_temperature():
    check_temperature(0.5)
    for wrong in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match=f"above 0 and finite, got {wrong}"):
            check_temperature(wrong)

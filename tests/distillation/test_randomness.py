"""Random draws are a function of their key."""

import subprocess
import sys

import numpy as np
import pytest

from distilbert.distillation.randomness import generator, torch_seed


def test_the_same_key_gives_the_same_draws_for_ever():
    assert generator(1, "masks", 2).bit_generator.random_raw(2).tolist() == [
        18159028653452544448,
        15682292964272079685,
    ]
    assert torch_seed(1, "dropout", 2) == 2832384380989805064


def test_another_process_draws_the_same():
    code = "from distilbert.distillation.randomness import *; print(torch_seed(3, 'a'))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(run.stdout) == torch_seed(3, "a")


def test_keys_are_not_confused():
    keys = [(1, 2), (12,), ("1", 2), (1, "2"), (2, 1), (1, 2, 0), ()]
    assert len({torch_seed(*key) for key in keys}) == len(keys)
    assert torch_seed(np.int64(5)) == torch_seed(5)
    assert all(0 <= torch_seed(i) < 1 << 63 for i in range(100))


@pytest.mark.parametrize("part", [1.0, True, None, (1,)])
def test_a_key_is_made_of_integers_and_words(part):
    with pytest.raises(TypeError, match="integers and words"):
        generator(part)

"""Randomness as a function of a key: no generator's state is carried from step to step.

A key is any mixture of numbers and words, such as `(seed, "masks", step)`. Equal keys give equal
draws, on every machine and in every process; there is nothing to save in a checkpoint.
"""

import hashlib
import json

import numpy as np

Key = int | str


def _digest(key: tuple[Key, ...]) -> bytes:
    for part in key:
        if isinstance(part, bool) or not isinstance(part, int | str | np.integer):
            raise TypeError(f"a key is made of integers and words, not {part!r}")
    plain = [part if isinstance(part, str) else int(part) for part in key]
    return hashlib.sha256(json.dumps(plain).encode()).digest()


def generator(*key: Key) -> np.random.Generator:
    """Return the random generator of a key, at its beginning.

    Raises:
        TypeError: a part of the key is neither an integer nor a string.

    >>> draws = [float(generator(7, "masks", 3).random()) for _ in range(2)]
    >>> draws[0] == draws[1] != generator(7, "masks", 4).random()
    True
    """
    words = np.frombuffer(_digest(key)[:16], dtype="<u8").astype(np.uint64)
    return np.random.Generator(np.random.Philox(key=words))


def torch_seed(*key: Key) -> int:
    """Return a seed for `torch.manual_seed`, 0 to 2**63 - 1.

    Raises:
        TypeError: a part of the key is neither an integer nor a string.
    """
    return int.from_bytes(_digest(key)[16:24], "little") >> 1

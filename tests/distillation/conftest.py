"""A small corpus, made by the recipe."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from distilbert.recipes.prepare import Settings, main


def write_text(path: Path, documents: int, seed: int) -> None:
    """Write a file of documents of the tiny vocabulary's letters, a line each."""
    generator = np.random.default_rng(seed)
    lines = []
    for _ in range(documents):
        words = generator.integers(1, 60)
        letters = generator.integers(ord("a"), ord("z") + 1, (words, 3), dtype=np.uint8)
        lines.append(" ".join(bytes(word).decode() for word in letters))
    path.write_text("\n".join(lines) + "\n")


@pytest.fixture(scope="session")
def tiny_vocab_file(tmp_path_factory: Any, tiny_vocab: dict[str, int]) -> str:
    """A vocab.txt of the tiny vocabulary."""
    path = tmp_path_factory.mktemp("vocab") / "vocab.txt"
    path.write_text("\n".join(tiny_vocab) + "\n")
    return str(path)


@pytest.fixture
def make_corpus(tmp_path: Path, tiny_vocab_file: str) -> Callable[..., Path]:
    """Prepare a folder of random documents; arguments are settings of the recipe."""

    def make(documents: int = 60, seed: int = 0, **settings: Any) -> Path:
        text = tmp_path / f"text-{documents}-{seed}.txt"
        if not text.exists():
            write_text(text, documents, seed)
        options = {
            "sources": [str(text)],
            "out": str(tmp_path / "corpus"),
            "tokenizer": tiny_vocab_file,
            "max_length": 48,
            "min_length": 4,
            "shard_mb": 0.002,
            "workers": 1,
        }
        return main(Settings(**{**options, **settings}))

    return make

"""Fixtures that every test may use."""

from pathlib import Path

import pytest

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data beside the repository; tests that need it are skipped without."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"no data in {SHARED_DATA}")
    return SHARED_DATA


@pytest.fixture(scope="session")
def tiny_vocab() -> dict[str, int]:
    """The five special tokens, letters whole and continued, punctuation and a few words."""
    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)]
    words = ["the", "small", "##er", "model", "##s", "un", "##aff", "##able", "中", "é"]
    marks = list(",.!?'-\"[]")
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters]
    tokens += [f"##{letter}" for letter in letters] + marks + words
    return {token: i for i, token in enumerate(dict.fromkeys(tokens))}

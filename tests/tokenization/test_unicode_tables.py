"""The tables say what the installed Rust library does, for every code point there is."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
from tokenizers import normalizers, pre_tokenizers

from distilbert.tokenization import unicode_tables
from distilbert.tokenization.normalization import Normalizer
from distilbert.tokenization.splitting import word_pattern

SCRIPT = Path(__file__).parents[2] / "scripts/make_unicode_tables.py"
EVERY_CHARACTER = [chr(code) for code in range(0x110000) if not 0xD800 <= code <= 0xDFFF]


def load_script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_unicode_tables", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_the_script_writes_the_tables_again():
    for name, text in load_script().tables().items():
        assert getattr(unicode_tables, name).split() == text.split(), (
            f"{name} is not what the installed library says: run scripts/make_unicode_tables.py"
        )


@pytest.mark.parametrize(
    ("clean", "chinese", "strip", "lower"),
    [
        (True, True, True, True),
        (False, False, True, False),
        (False, True, False, True),
    ],
)
def test_every_character_is_normalised_alike(clean, chinese, strip, lower):
    rust = normalizers.BertNormalizer(clean, chinese, strip, lower)
    ours = Normalizer(
        clean_text=clean,
        tokenize_chinese_chars=chinese,
        strip_accents=strip,
        do_lower_case=lower,
    )
    # Neighbours in rows of 500: marks in a row are sorted, removed characters join others.
    for start in range(0, len(EVERY_CHARACTER), 500):
        row = "".join(EVERY_CHARACTER[start : start + 500])
        assert ours.normalize(row) == rust.normalize_str(row)
        assert ours.align(row)[0] == ours.normalize(row)


def test_every_character_splits_alike():
    rust = pre_tokenizers.BertPreTokenizer()
    for start in range(0, len(EVERY_CHARACTER), 5000):
        row = "b".join(EVERY_CHARACTER[start : start + 5000])
        spans = [match.span() for match in word_pattern().finditer(row)]
        assert spans == [offsets for _, offsets in rust.pre_tokenize_str(row)]

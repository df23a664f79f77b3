"""The bulk tokenizer cuts as the Rust library does, whatever the text."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distilbert import DistilBertTokenizerFast
from distilbert.distillation import cutting
from distilbert.distillation.cutting import Cutter

AWKWARD = [
    "", " ", "word", "Word, word. don't [MASK] [SEP]x ##s", "中文 and 日本語のテキスト中",
    "e\u0301 .\u0301x ,\u0327\u0301a", "a\u00a0b\u3000c\u2028d\x85e\x1cf", "a\x00b\ufffdc\u200bd",
    "İstanbul ΑΣ ς Σ", "\U0001f600👍🏽 \U00020000 한국어", "x" * 101 + " " + "y" * 300,
    "\t\r\n\x0b\x0c|", "ﬁ Å ẛ̣ \u0344", "—dash–“quotes”…¿",
]  # fmt: skip


def reference(tokenizer, text):
    backend = tokenizer.backend_tokenizer
    before, backend.encode_special_tokens = backend.encode_special_tokens, True
    try:
        return backend.encode(text, add_special_tokens=False).ids
    finally:
        backend.encode_special_tokens = before


@pytest.fixture(
    scope="module", params=[{}, {"do_lower_case": False}, {"tokenize_chinese_chars": False}]
)
def tokenizer(request, tiny_vocab):
    return DistilBertTokenizerFast(tiny_vocab, **request.param)


@pytest.mark.parametrize("text", AWKWARD)
def test_awkward_texts(tokenizer, text):
    cut = Cutter(tokenizer, np.dtype("<u2"))
    for _ in range(2):  # the second time from memory
        assert cut(text).tolist() == reference(tokenizer, text)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.one_of(st.text(max_size=12), st.sampled_from(AWKWARD)), max_size=8))
def test_any_text(tiny_vocab, parts):
    tokenizer = DistilBertTokenizerFast(tiny_vocab)
    text = "".join(parts)
    assert Cutter(tokenizer, np.dtype("<u4"))(text).tolist() == reference(tokenizer, text)


def test_long_documents_and_a_full_memory(tokenizer, monkeypatch):
    monkeypatch.setattr(cutting, "_SEGMENT", 20)
    monkeypatch.setattr(cutting, "_MAX_REMEMBERED", 5)
    cut = Cutter(tokenizer, np.dtype("<u2"))
    for text in (" ".join(AWKWARD), "unbroken" * 50, "the small model\n" * 40, " " * 100):
        assert cut(text).tolist() == reference(tokenizer, text)


def test_special_tokens_in_a_text_are_text(tiny_vocab):
    tokenizer = DistilBertTokenizerFast(tiny_vocab)
    ids = Cutter(tokenizer, np.dtype("<u2"))("a [SEP] b")
    assert tokenizer.sep_token_id not in ids
    assert tokenizer("a [SEP] b").input_ids.count(tokenizer.sep_token_id) == 2


def test_added_words_are_found(tiny_vocab):
    tokenizer = DistilBertTokenizerFast(tiny_vocab)
    tokenizer.add_tokens(["small model", "zz"])
    for text in ("a small model zz", "azz"):
        assert Cutter(tokenizer, np.dtype("<u2"))(text).tolist() == reference(tokenizer, text)


def test_real_text(shared_data):
    pq = pytest.importorskip("pyarrow.parquet")
    texts = pq.read_table(shared_data / "text_wikitext2" / "dev.parquet")["text"].to_pylist()[:600]
    for name in ("uncased", "cased", "chinese"):
        vocab = shared_data / "vocab" / f"bert-base-{name}-vocab.txt"
        tokenizer = DistilBertTokenizerFast(vocab, do_lower_case=name == "uncased")
        cut = Cutter(tokenizer, np.dtype("<u2"))
        assert all(cut(text).tolist() == reference(tokenizer, text) for text in texts)

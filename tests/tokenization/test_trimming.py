"""A smaller vocabulary: the texts it was cut down for are cut as before."""

import numpy as np
import pytest

from distilbert import DistilBertTokenizer, DistilBertTokenizerFast
from distilbert.tokenization.trimming import needed_ids, trimmed

TEXTS = ["The small model, unaffable", "smaller models: é 中", "a small small one"]


def counts_of(tokenizer, texts):
    ids = [i for text in texts for i in tokenizer(text, add_special_tokens=False).input_ids]
    return np.bincount(ids, minlength=len(tokenizer))


def cut_down(tokenizer, texts=TEXTS, **options):
    return trimmed(tokenizer, needed_ids(tokenizer, counts_of(tokenizer, texts), **options))


@pytest.mark.parametrize("cls", [DistilBertTokenizer, DistilBertTokenizerFast])
def test_texts_are_cut_as_before(cls, tiny_vocab, tmp_path):
    unused = ["small##er", "##ish", "modelling", "ü", "##ü"]
    vocab = {token: i for i, token in enumerate([*unused, *tiny_vocab])}
    tokenizer = cls(vocab, strip_accents=False, model_max_length=12, padding_side="left")
    smaller = cut_down(tokenizer)
    assert set(smaller.get_vocab()) == set(tiny_vocab)
    assert sorted(smaller.get_vocab().values()) == list(range(len(tiny_vocab)))
    tokenizer_names = list(smaller.get_vocab())
    assert sorted(tokenizer_names, key=vocab.get) == sorted(tokenizer_names, key=smaller.vocab.get)
    smaller.save_pretrained(tmp_path)
    for each in (smaller, cls.from_pretrained(tmp_path)):
        assert type(each) is cls
        assert each.model_max_length == 12
        assert each.padding_side == "left"
        for text in TEXTS:
            assert each.tokenize(text) == tokenizer.tokenize(text)
        row = each("small", "model").input_ids
        assert each.convert_ids_to_tokens(row) == ["[CLS]", "small", "[SEP]", "model", "[SEP]"]
    assert len(tokenizer) == len(vocab)


def test_frequent_tokens_only(tiny_vocab):
    tokenizer = DistilBertTokenizerFast(tiny_vocab, strip_accents=False)
    words = {token for token in tiny_vocab if len(token.removeprefix("##")) > 1}
    kept = set(cut_down(tokenizer, min_frequency=2).get_vocab())
    assert kept & words == {"small", "model", "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"}
    assert {"a", "##z", "é", "中", ","} <= kept  # the alphabet
    whole = len(kept)
    assert set(cut_down(tokenizer, size=whole).get_vocab()) == kept
    least = cut_down(tokenizer, size=1)
    assert least.tokenize("small") == ["s", "##m", "##a", "##l", "##l"]
    assert least.unk_token_id not in least("unaffable models").input_ids


def test_characters_that_no_text_has(tiny_vocab):
    smaller = cut_down(DistilBertTokenizerFast(tiny_vocab), ["the model"])
    assert "中" not in smaller.get_vocab()
    assert "z" in smaller.get_vocab()


def test_added_tokens_stay(tiny_vocab):
    tokenizer = DistilBertTokenizerFast(tiny_vocab)
    tokenizer.add_tokens(["large model"])
    tokenizer.add_special_tokens({"additional_special_tokens": ["[NAME]"], "mask_token": "<mask>"})
    smaller = cut_down(tokenizer, ["the"])
    text = "the large model [NAME] <mask>"
    assert smaller.tokenize(text) == tokenizer.tokenize(text)
    assert smaller.mask_token_id == smaller.convert_tokens_to_ids("<mask>")
    assert smaller.additional_special_tokens == ["[NAME]"]
    assert sorted(smaller.get_vocab().values()) == list(range(len(smaller)))

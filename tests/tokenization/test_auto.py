"""`AutoTokenizer`: which of the two, and the token types of a BERT."""

import json

import pytest

import distilbert as d

OF_BERT = ["input_ids", "token_type_ids", "attention_mask"]
OF_DISTILBERT = ["input_ids", "attention_mask"]


@pytest.fixture
def folder(tiny_vocab, tmp_path):
    d.DistilBertTokenizer(tiny_vocab).save_pretrained(tmp_path)
    return tmp_path


@pytest.mark.parametrize("use_fast", [True, False])
@pytest.mark.parametrize("kind", [d.BertConfig, d.DistilBertConfig])
def test_the_inputs_of_the_kind_of_model(folder, kind, use_fast):
    kind().save_pretrained(folder)
    tokenizer = d.AutoTokenizer.from_pretrained(folder, use_fast=use_fast)
    assert type(tokenizer) is (d.DistilBertTokenizerFast if use_fast else d.DistilBertTokenizer)
    expected = OF_BERT if kind is d.BertConfig else OF_DISTILBERT
    assert list(tokenizer("the small", "model")) == expected
    tokenizer.save_pretrained(folder / "again")  # which has no config.json
    again = d.AutoTokenizer.from_pretrained(folder / "again")
    assert type(again) is d.DistilBertTokenizerFast
    assert list(again.model_input_names) == expected


def test_what_is_said_of_inputs_counts(folder):
    d.BertConfig().save_pretrained(folder)
    given = d.AutoTokenizer.from_pretrained(folder, model_input_names=["input_ids"])
    assert list(given("the")) == ["input_ids"]
    path = folder / "tokenizer_config.json"
    path.write_text(
        json.dumps({**json.loads(path.read_text()), "model_input_names": ["input_ids"]})
    )
    assert list(d.AutoTokenizer.from_pretrained(folder)("the")) == ["input_ids"]


def test_a_vocabulary_by_its_path(folder):
    tokenizer = d.AutoTokenizer.from_pretrained(folder / "vocab.txt")
    assert tokenizer.tokenize("the small") == ["the", "small"]
    with pytest.raises(OSError, match=r"tokenizer.json is a file: give its folder"):
        d.AutoTokenizer.from_pretrained(folder / "tokenizer.json")


def test_options_of_scripts(folder):
    d.BertConfig().save_pretrained(folder / "inside")
    d.AutoTokenizer.from_pretrained(folder, trust_remote_code=False, do_lower_case=False)
    for options, message in (
        ({"trust_remote_code": True}, "no option 'trust_remote_code'"),
        ({"use_fast": "False"}, "use_fast must be true or false, got 'False'"),
        ({"lower_case": True}, "unknown arguments: 'lower_case'"),
    ):
        with pytest.raises(TypeError, match=message):
            d.AutoTokenizer.from_pretrained(folder, **options)
    with pytest.raises(OSError, match="has no tokenizer"):
        d.AutoTokenizer.from_pretrained(folder, subfolder="inside")


def test_another_kind_of_model(folder):
    (folder / "config.json").write_text(json.dumps({"model_type": "roberta"}))
    with pytest.raises(ValueError, match="model_type is 'roberta'; only bert and distilbert"):
        d.AutoTokenizer.from_pretrained(folder)

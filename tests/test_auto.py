"""`AutoConfig`, and what all Auto classes have in common."""

import json

import pytest

import distilbert as d

BERT = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}


@pytest.mark.parametrize("kind", [d.BertConfig, d.DistilBertConfig])
def test_the_configuration_that_the_file_is_of(tmp_path, kind):
    kind(num_labels=4).save_pretrained(tmp_path / "inside")
    config = d.AutoConfig.from_pretrained(tmp_path, subfolder="inside", dropout=0.3, num_labels=3)
    assert type(config) is kind
    assert (config.dropout, config.num_labels) == (0.3, 3)
    again = d.AutoConfig.from_pretrained(tmp_path / "inside" / "config.json")
    assert (type(again), again.num_labels) == (kind, 4)


def test_options_of_scripts(tmp_path):
    d.BertConfig(**BERT).save_pretrained(tmp_path)
    config = d.AutoConfig.from_pretrained(
        tmp_path, finetuning_task="sst2", cache_dir=None, token=None, trust_remote_code=False
    )
    assert config.finetuning_task == "sst2"
    with pytest.raises(TypeError, match=r"no option 'trust_remote_code': leave it out"):
        d.AutoConfig.from_pretrained(tmp_path, trust_remote_code=True)
    with pytest.raises(TypeError, match="BertConfig has no field 'hiden_size'; did you mean"):
        d.AutoConfig.from_pretrained(tmp_path, hiden_size=3)


def test_another_kind(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "roberta"}))
    with pytest.raises(ValueError, match="model_type is 'roberta'; only bert and distilbert"):
        d.AutoConfig.from_pretrained(tmp_path)
    with pytest.raises(OSError, match=r"has no file config\.json"):
        d.AutoConfig.from_pretrained(tmp_path, subfolder="none")


def test_they_are_not_constructed():
    with pytest.raises(TypeError, match=r"say AutoConfig\.from_pretrained\(folder\)$"):
        d.AutoConfig()
    with pytest.raises(TypeError, match=r"AutoTokenizer is not constructed"):
        d.AutoTokenizer("vocab.txt")

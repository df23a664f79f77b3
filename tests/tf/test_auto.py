"""The Auto classes in Keras: a DistilBERT class, which converts a BERT."""

import json

import numpy as np
import pytest

import distilbert as d
from distilbert.tf.weights import named_weights


def auto_of(class_name):
    return getattr(d, f"TFAutoModel{class_name.removeprefix('DistilBert').removeprefix('Model')}")


def test_the_class_of_the_checkpoint(class_name, tiny, tmp_path):
    auto = auto_of(class_name)
    model = auto.from_config(tiny, name="fresh")
    assert type(model) is getattr(d, f"TF{class_name}")
    assert model.name == "fresh"
    model.save_pretrained(tmp_path)
    back, info = auto.from_pretrained(tmp_path, output_loading_info=True)
    assert type(back) is type(model)
    assert not any(info.values())
    weights = named_weights(back)
    for name, weight in named_weights(model).items():
        assert (weights[name].read() == weight.read()).all()


def test_options_of_scripts(tiny, tmp_path):
    d.TFAutoModel.from_config(tiny).save_pretrained(tmp_path)
    auto = d.TFAutoModelForSequenceClassification
    config = d.AutoConfig.from_pretrained(tmp_path, num_labels=5)
    model = auto.from_pretrained(tmp_path, config=config, from_pt=True, trust_remote_code=False)
    assert model.num_labels == 5
    with pytest.raises(TypeError, match="no option 'trust_remote_code': leave it out"):
        auto.from_pretrained(tmp_path, trust_remote_code=True)


def test_a_bert_is_converted_from_files(tmp_path):
    pytest.importorskip("torch")
    config = d.BertConfig(
        vocab_size=30, hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=24,
    )  # fmt: skip
    d.BertForMaskedLM(config).save_pretrained(tmp_path)
    model, info = d.TFAutoModelForMaskedLM.from_pretrained(tmp_path, output_loading_info=True)
    assert type(model) is d.TFDistilBertForMaskedLM
    assert info["missing_keys"] == []
    given = d.TFAutoModelForMaskedLM.from_pretrained(tmp_path, config=config)
    ids = np.array([[2, 7, 3]])
    np.testing.assert_array_equal(given(ids).logits, model(ids).logits)
    assert type(d.TFAutoModel.from_config(config)) is d.TFDistilBertModel


def test_what_cannot_be_opened(tiny, tmp_path):
    with pytest.raises(TypeError, match=r"say TFAutoModel\.from_pretrained\(folder\) or"):
        d.TFAutoModel(tiny)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "roberta"}))
    with pytest.raises(ValueError, match="model_type is 'roberta'; only bert and distilbert"):
        d.TFAutoModel.from_pretrained(tmp_path)

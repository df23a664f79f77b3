"""The Auto classes: the class that the checkpoint, or the configuration given, asks for."""

import json

import pytest
import torch

import distilbert as d

KINDS = [n.removeprefix("AutoModel") for n in d.__all__ if n.startswith("AutoModel")]
SIZES = {"vocab_size": 30, "max_position_embeddings": 8, "num_labels": 3}


@pytest.fixture(params=["Bert", "DistilBert"])
def family(request):
    return request.param


@pytest.fixture
def config(family):
    if family == "DistilBert":
        return d.DistilBertConfig(dim=16, n_layers=2, n_heads=2, hidden_dim=24, **SIZES)
    return d.BertConfig(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24, **SIZES
    )


@pytest.mark.parametrize("kind", KINDS)
def test_the_class_of_the_checkpoint(tmp_path, family, config, kind):
    assert len(KINDS) == 6
    auto, cls = getattr(d, f"AutoModel{kind}"), getattr(d, f"{family}{kind or 'Model'}")
    fresh = auto.from_config(config, trust_remote_code=False)
    assert type(fresh) is cls
    assert fresh.training
    fresh.save_pretrained(tmp_path)
    model, info = auto.from_pretrained(tmp_path, output_loading_info=True)
    assert type(model) is cls
    assert not model.training
    assert not any(info.values())
    for name, weight in fresh.state_dict().items():
        torch.testing.assert_close(model.state_dict()[name], weight, rtol=0, atol=0)


def test_a_given_configuration_says_the_kind(tmp_path, family, config):
    model = d.AutoModel.from_config(config)
    config.save_pretrained(tmp_path)
    for given in (config, tmp_path):
        again = d.AutoModel.from_pretrained(
            None, config=given, state_dict=model.state_dict(), dropout=0.3
        )
        assert type(again) is type(model)
        assert again.config.dropout == 0.3


def test_a_bert_by_the_configuration_of_a_distilbert(tmp_path):
    small = d.BertConfig(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24, **SIZES
    )
    d.BertForMaskedLM(small).save_pretrained(tmp_path)
    model = d.AutoModelForMaskedLM.from_pretrained(tmp_path, config=small.to_distilbert())
    assert type(model) is d.DistilBertForMaskedLM


def test_options_of_scripts(tmp_path, config):
    d.AutoModelForMaskedLM.from_config(config).save_pretrained(tmp_path / "inside")
    model = d.AutoModelForSequenceClassification.from_pretrained(
        tmp_path, subfolder="inside", num_labels=5, trust_remote_code=False, low_cpu_mem_usage=True,
        dtype=torch.float64,
    )  # fmt: skip
    assert (model.num_labels, model.dtype) == (5, torch.float64)
    for options, message in (
        ({"trust_remote_code": True}, "no option 'trust_remote_code': leave it out"),
        ({"n_layer": 2}, "has no field 'n_layer'; did you mean 'n_layers'"),
        ({"config": {}}, r"or the folder or hub id of one; got a builtins\.dict"),
    ):
        with pytest.raises(TypeError, match=message):
            d.AutoModel.from_pretrained(tmp_path / "inside", **options)


def test_another_kind(tmp_path, config):
    d.AutoModel.from_config(config).save_pretrained(tmp_path)
    path = tmp_path / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"model_type": "roberta"}))
    with pytest.raises(ValueError, match="model_type is 'roberta'; only bert and distilbert"):
        d.AutoModel.from_pretrained(tmp_path)


def test_what_cannot_be_built(config):
    with pytest.raises(
        TypeError, match=r"AutoModel\.from_pretrained\(folder\) or AutoModel\.from_con"
    ):
        d.AutoModel(config)
    with pytest.raises(
        TypeError, match=r"takes a distilbert.DistilBertConfig or a .*builtins\.dict"
    ):
        d.AutoModel.from_config({})
    with pytest.raises(TypeError, match="from_config has no option 'trust_remote_code'"):
        d.AutoModel.from_config(config, trust_remote_code=True)
    with pytest.raises(TypeError, match="attn"):
        d.AutoModel.from_config(config, attn="eager")

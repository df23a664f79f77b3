"""BERT, the teacher: the shared encoder with token types and a pooler."""

import pytest
import torch
from safetensors import safe_open
from torch import nn

import distilbert as d

HEADS = [
    d.BertModel,
    d.BertForMaskedLM,
    d.BertForSequenceClassification,
    d.BertForMultipleChoice,
    d.BertForTokenClassification,
    d.BertForQuestionAnswering,
]
by_name = pytest.mark.parametrize("cls", HEADS, ids=lambda cls: cls.__name__)


@pytest.fixture
def config():
    return d.BertConfig(
        vocab_size=60,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=48,
        max_position_embeddings=16,
        initializer_range=0.2,
        num_labels=3,
    )


def given_for(cls):
    draw = torch.Generator().manual_seed(0)
    shape = (3, 2, 6) if cls is d.BertForMultipleChoice else (3, 6)
    mask = torch.tensor([[1] * 6, [1, 1, 1, 0, 0, 0], [1, 1, 1, 1, 0, 0]])
    mask = mask[:, None].expand(shape) if len(shape) == 3 else mask
    return {
        "input_ids": torch.randint(0, 60, shape, generator=draw),
        "attention_mask": mask,
        "token_type_ids": torch.randint(0, 2, shape, generator=draw),
    }


@by_name
def test_token_types_count(cls, config):
    model = cls(config).eval()
    given = given_for(cls)
    with_segments = model(**given)[0]
    without = model(given["input_ids"], attention_mask=given["attention_mask"])[0]
    zeros = torch.zeros_like(given["input_ids"])
    assert not torch.allclose(with_segments, without)
    torch.testing.assert_close(without, model(**given | {"token_type_ids": zeros})[0])


@by_name
def test_arguments_in_berts_order(cls, config):
    model = cls(config).eval()
    given = given_for(cls)
    by_order = model(given["input_ids"], given["attention_mask"], given["token_type_ids"])
    assert torch.equal(by_order[0], model(**given)[0])


@by_name
def test_unpadded_equals_padded(cls, config):
    model = cls(config).eval()
    given = given_for(cls)
    expected = model(**given)
    model.set_attn_implementation("varlen")
    output = model(**given)
    for name in expected:
        real = given["attention_mask"].bool()
        if expected[name].shape[:2] != real.shape or expected[name].dim() != 3:
            real = output[name] > torch.finfo(torch.float32).min
        torch.testing.assert_close(output[name][real], expected[name][real], rtol=1e-5, atol=1e-5)


@by_name
def test_files_have_berts_names(cls, config, tmp_path):
    model = cls(config).eval()
    model.save_pretrained(tmp_path)
    with safe_open(tmp_path / "model.safetensors", "pt") as file:
        names = set(file.keys())
    prefix = "" if cls is d.BertModel else "bert."
    assert f"{prefix}encoder.layer.1.attention.self.query.weight" in names
    assert f"{prefix}encoder.layer.1.attention.output.LayerNorm.bias" in names
    assert f"{prefix}encoder.layer.0.intermediate.dense.weight" in names
    assert not any("q_lin" in name or "vocab_" in name for name in names)
    again, info = cls.from_pretrained(tmp_path, output_loading_info=True)
    assert info == {"missing_keys": [], "unexpected_keys": [], "mismatched_keys": []}
    given = given_for(cls)
    assert torch.equal(again(**given)[0], model(**given)[0])


def test_the_pooler(config):
    model = d.BertModel(config).eval()
    given = given_for(d.BertModel)
    output = model(**given)
    dense = model.pooler.dense
    torch.testing.assert_close(output.pooler_output, dense(output[0][:, 0]).tanh())
    assert d.BertModel(config, add_pooling_layer=False)(**given).pooler_output is None
    assert d.BertForTokenClassification(config).bert.pooler is None
    assert d.BertForSequenceClassification(config).bert.pooler is not None


def test_wrong_token_types(config):
    model = d.BertModel(config)
    ids = torch.zeros(2, 4, dtype=torch.long)
    with pytest.raises(IndexError, match="token_type_ids holds 2; the model knows 0 to 1"):
        model(ids, token_type_ids=ids + 2)
    with pytest.raises(ValueError, match=r"token_type_ids must be \(2, 4\), got \(2, 3\)"):
        model(ids, token_type_ids=ids[:, :3])
    with pytest.raises(
        TypeError, match=r"takes a distilbert\.BertConfig, got a distilbert\.DistilBertConfig"
    ):
        d.BertModel(d.DistilBertConfig())


def test_dropout_after_attention_is_berts_only(config, tiny):
    config.attention_probs_dropout_prob = tiny.attention_dropout = 0.0
    config.hidden_dropout_prob = tiny.dropout = 0.9
    for model, dropped in ((d.BertModel(config), True), (d.DistilBertModel(tiny), False)):
        block = model.transformer.layer[0].train()
        assert isinstance(block.attention_dropout, nn.Dropout) == dropped

"""Names of weights in files and in the modules."""

import pytest
import torch

import distilbert as d
from distilbert import keymap

BERT_LAYER = "bert.encoder.layer.11."
DISTIL_LAYER = "transformer.layer.11."


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("distilbert.embeddings.word_embeddings.weight", "embeddings.word_embeddings.weight"),
        ("embeddings.word_embeddings.weight", "embeddings.word_embeddings.weight"),
        ("bert.embeddings.LayerNorm.gamma", "embeddings.LayerNorm.weight"),
        ("bert.embeddings.LayerNorm.beta", "embeddings.LayerNorm.bias"),
        (BERT_LAYER + "attention.self.query.weight", DISTIL_LAYER + "attention.q_lin.weight"),
        (BERT_LAYER + "attention.self.key.bias", DISTIL_LAYER + "attention.k_lin.bias"),
        (BERT_LAYER + "attention.self.value.bias", DISTIL_LAYER + "attention.v_lin.bias"),
        (BERT_LAYER + "attention.output.dense.bias", DISTIL_LAYER + "attention.out_lin.bias"),
        (BERT_LAYER + "attention.output.LayerNorm.gamma", DISTIL_LAYER + "sa_layer_norm.weight"),
        (BERT_LAYER + "intermediate.dense.weight", DISTIL_LAYER + "ffn.lin1.weight"),
        (BERT_LAYER + "output.dense.weight", DISTIL_LAYER + "ffn.lin2.weight"),
        (BERT_LAYER + "output.LayerNorm.beta", DISTIL_LAYER + "output_layer_norm.bias"),
        ("cls.predictions.transform.dense.weight", "vocab_transform.weight"),
        ("cls.predictions.transform.LayerNorm.gamma", "vocab_layer_norm.weight"),
        ("cls.predictions.decoder.weight", "vocab_projector.weight"),
        ("cls.predictions.bias", "vocab_projector.bias"),
        ("cls.predictions.decoder.bias", "vocab_projector.bias"),
        ("classifier.weight", "classifier.weight"),
        ("cls.seq_relationship.weight", "cls.seq_relationship.weight"),
        ("bert.embeddings.position_ids", None),
        ("embeddings.token_type_ids", None),
        ("my.distilbert.x", "my.distilbert.x"),
    ],
)
def test_names_in_files(theirs, ours):
    assert keymap.from_file(theirs) == ours


@pytest.mark.parametrize("cls", [d.BertForMaskedLM, d.BertForSequenceClassification])
def test_bert_names_come_back(cls):
    with torch.device("meta"):
        model = cls(d.BertConfig(num_hidden_layers=2))
    for name in model.state_dict():
        in_file = keymap.to_bert_file(name)
        assert "transformer.layer" not in in_file
        assert keymap.from_file(in_file) == name.removeprefix("bert.")


@pytest.mark.parametrize("task", ["MaskedLM", "QuestionAnswering", "MultipleChoice"])
def test_bert_names_are_those_of_transformers(task):
    import transformers

    config = {"num_hidden_layers": 1, "hidden_size": 24, "num_attention_heads": 2, "vocab_size": 9}
    with torch.device("meta"):
        theirs = getattr(transformers, f"BertFor{task}")(transformers.BertConfig(**config))
        ours = getattr(d, f"BertFor{task}")(d.BertConfig(**config))
    names = {keymap.to_bert_file(name) for name in ours.state_dict()}
    copies = {"cls.predictions.decoder.bias", "cls.predictions.decoder.weight"}
    buffers = {name for name in theirs.state_dict() if name.endswith("_ids")}
    assert names - copies == theirs.state_dict().keys() - copies - buffers


def test_which_names_are_whose():
    assert keymap.is_encoder("transformer.layer.0.ffn.lin1.weight")
    assert keymap.is_encoder("embeddings.LayerNorm.bias")
    assert not keymap.is_encoder("vocab_projector.weight")
    assert keymap.are_bert(["x", "bert.encoder.layer.0.output.dense.bias"])
    assert not keymap.are_bert(["distilbert.transformer.layer.0.ffn.lin1.weight", "encoder"])

"""Either kind is opened by the class that fits it, and what is not whole is refused."""

import json

import pytest
from safetensors.torch import load_file, save_file

import distilbert as d
from distilbert.checkpoint import is_bert
from distilbert.modeling.opening import open_head, open_masked_lm

SIZES = {"vocab_size": 30, "max_position_embeddings": 8}


@pytest.fixture
def bert_config():
    return d.BertConfig(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24, **SIZES
    )


@pytest.fixture
def distilbert_config():
    return d.DistilBertConfig(dim=16, n_layers=2, n_heads=2, hidden_dim=24, **SIZES)


def test_both_kinds(tmp_path, bert_config, distilbert_config):
    for cls, config in (
        (d.BertForMaskedLM, bert_config),
        (d.DistilBertForMaskedLM, distilbert_config),
    ):
        cls(config).save_pretrained(tmp_path)
        model = open_masked_lm(str(tmp_path), dropout=0.3, attention_dropout=0.4)
        assert type(model) is cls
        assert (model.config.dropout, model.config.attention_dropout) == (0.3, 0.4)
        assert is_bert(str(tmp_path)) == (cls is d.BertForMaskedLM)


def test_without_a_head(tmp_path, bert_config, distilbert_config, caplog):
    for number, (model, cls) in enumerate(
        [
            (d.BertModel(bert_config), d.BertForMaskedLM),
            (d.BertForSequenceClassification(bert_config), d.BertForMaskedLM),
            (d.DistilBertModel(distilbert_config), d.DistilBertForMaskedLM),
        ]
    ):
        folder = str(tmp_path / str(number))
        model.save_pretrained(folder)
        with pytest.raises(ValueError, match=f"{folder} has no masked-LM head"):
            open_masked_lm(folder)
        caplog.clear()
        assert type(open_masked_lm(folder, needs_head=False)) is cls
        assert "new, to be trained before use: vocab_transform" in caplog.text


def test_what_is_not_whole(tmp_path, bert_config):
    d.BertForMaskedLM(bert_config).save_pretrained(tmp_path)
    file = tmp_path / "model.safetensors"
    weights = load_file(file)
    save_file({n: w for n, w in weights.items() if "layer.1.output.dense" not in n}, file)
    with pytest.raises(ValueError, match=r"not a whole model: .*layer\.1\..* is missing"):
        open_masked_lm(str(tmp_path))


def test_another_kind(tmp_path, bert_config):
    d.BertForMaskedLM(bert_config).save_pretrained(tmp_path)
    path = tmp_path / "config.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | {"model_type": "roberta"}))
    with pytest.raises(ValueError, match="model_type is 'roberta'; only bert and distilbert"):
        open_masked_lm(str(tmp_path))
    del content["model_type"]
    path.write_text(json.dumps(content))
    assert is_bert(str(tmp_path))  # as in the first files
    with pytest.raises(OSError, match="nowhere"):
        open_masked_lm(str(tmp_path / "nowhere"))


@pytest.mark.parametrize("kind", ["Bert", "DistilBert"])
def test_a_trained_head_is_that_of_the_class_that_wrote_it(tmp_path, bert_config,
                                                           distilbert_config, kind):  # fmt: skip
    """Its layers may have the names and shapes of another's."""
    config = bert_config if kind == "Bert" else distilbert_config
    config.num_labels = 1
    getattr(d, f"{kind}ForSequenceClassification")(config).save_pretrained(tmp_path)
    folder = str(tmp_path)
    for head in ("ForMultipleChoice", "ForTokenClassification", "ForQuestionAnswering"):
        wrong = f"is a {kind}ForSequenceClassification, not a {kind}{head}; fine-tune it"
        with pytest.raises(ValueError, match=wrong):
            open_head(folder, head, is_trained=True)
        assert type(open_head(folder, head)).__name__ == f"{kind}{head}"  # drawn anew, or not
    assert open_head(folder, "ForSequenceClassification", is_trained=True).config.num_labels == 1
    assert type(open_head(folder, "Model", is_trained=True)).__name__ == f"{kind}Model"
    path = tmp_path / "config.json"
    content = json.loads(path.read_text())
    del content["architectures"]
    path.write_text(json.dumps(content))
    open_head(folder, "ForMultipleChoice", is_trained=True)  # nothing says that it is none
    for wrong in ([1], 5):
        path.write_text(json.dumps(content | {"architectures": wrong}))
        with pytest.raises(ValueError, match=r"config\.json: architectures must be a list of str"):
            open_head(folder, "ForMultipleChoice", is_trained=True)
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"has no QuestionAnswering head .* fine-tune it first"):
        open_head(folder, "ForQuestionAnswering", is_trained=True)

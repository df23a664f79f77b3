"""A BERT opened as a DistilBERT: the same answers on segment 0, and words where that cannot be."""

import json
import logging

import pytest
import torch
from safetensors.torch import load_file, save_file

import distilbert as d

IDS = torch.tensor([[2, 7, 9, 8, 3], [2, 8, 3, 0, 0]])
MASK = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])


@pytest.fixture
def bert():
    return d.BertConfig(
        vocab_size=60,
        max_position_embeddings=16,
        num_hidden_layers=2,
        num_attention_heads=4,
        hidden_size=32,
        intermediate_size=48,
        num_labels=3,
        initializer_range=0.3,
    )


def saved(kind, config, folder, **options):
    torch.manual_seed(0)
    model = getattr(d, f"Bert{kind}")(config).eval()
    model.save_pretrained(folder, **options)
    return model


def first(output):
    return output.to_tuple()[:2] if "start_logits" in output else output[:1]


@pytest.mark.parametrize(
    "kind", ["Model", "ForMaskedLM", "ForQuestionAnswering", "ForTokenClassification"]
)
@pytest.mark.parametrize("attention", ["eager", "sdpa", "varlen"])
def test_answers_are_equal(kind, attention, bert, tmp_path, caplog):
    teacher = saved(kind, bert, tmp_path)
    cls = getattr(d, f"DistilBert{kind}")
    student, info = cls.from_pretrained(
        tmp_path, output_loading_info=True, attn_implementation=attention
    )
    assert not any(info.values())
    assert not caplog.records
    teacher.set_attn_implementation(attention)
    with torch.no_grad():
        expected, output = teacher(IDS, MASK), student(IDS, MASK)
    for ours, theirs in zip(first(output), first(expected), strict=True):
        keep = MASK.bool()
        torch.testing.assert_close(ours[keep], theirs[keep], rtol=1e-5, atol=1e-5)
    assert type(student.config) is d.DistilBertConfig


@pytest.mark.parametrize("kind", ["MaskedLM", "TokenClassification", "QuestionAnswering"])
def test_bert_of_transformers(kind, bert, tmp_path):
    import transformers

    torch.manual_seed(0)
    bert.num_labels = 2 if kind == "QuestionAnswering" else 3  # theirs makes as many spans
    config = transformers.BertConfig(
        **{k: v for k, v in bert.to_dict().items() if k not in ("model_type", "dtype")}
    )
    teacher = getattr(transformers, f"BertFor{kind}")(config).eval()
    teacher.save_pretrained(tmp_path)
    with torch.no_grad():
        expected = teacher(IDS, MASK)
        for name in (f"DistilBertFor{kind}", f"BertFor{kind}"):
            output = getattr(d, name).from_pretrained(tmp_path)(IDS, MASK)
            for key in {"logits", "start_logits", "end_logits"} & output.keys():
                torch.testing.assert_close(output[key], expected[key], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", ["SequenceClassification", "MultipleChoice"])
def test_pooler_heads_are_drawn_anew_with_words(kind, bert, tmp_path, caplog):
    teacher = saved(f"For{kind}", bert, tmp_path)
    cls = getattr(d, f"DistilBertFor{kind}")
    student, info = cls.from_pretrained(tmp_path, output_loading_info=True)
    assert sorted({name.partition(".")[0] for name in info["missing_keys"]}) == [
        "classifier",
        "pre_classifier",
    ]
    assert not torch.equal(student.classifier.weight, teacher.classifier.weight)
    assert [r.levelno for r in caplog.records] == [logging.WARNING]
    assert "BERT's classification head (pooler, tanh) has no equal in DistilBERT" in caplog.text
    assert "new, to be trained before use: pre_classifier, classifier" in caplog.text


def test_encoder_of_a_classifier_is_no_reason_for_alarm(bert, tmp_path, caplog):
    saved("ForSequenceClassification", bert, tmp_path)
    d.DistilBertModel.from_pretrained(tmp_path)
    assert not [r for r in caplog.records if r.levelno > logging.INFO]


def rewrite(folder, change_weights=lambda w: w, change_config=lambda c: c):
    weights = change_weights(load_file(folder / "model.safetensors"))
    save_file({n: w.contiguous() for n, w in weights.items()}, folder / "model.safetensors")
    config = change_config(json.loads((folder / "config.json").read_text()))
    (folder / "config.json").write_text(json.dumps(config))


POOLER = {"bert.pooler.dense.weight": torch.ones(32, 32), "bert.pooler.dense.bias": torch.ones(32)}


@pytest.mark.parametrize("pooled", [True, False])
def test_old_tagger_with_a_pooler(bert, tmp_path, pooled, caplog):
    teacher = saved("ForTokenClassification", bert, tmp_path)
    if pooled:
        rewrite(tmp_path, lambda w: {**w, **POOLER})
    student = d.DistilBertForTokenClassification.from_pretrained(tmp_path)
    assert torch.equal(student.classifier.weight, teacher.classifier.weight)
    assert not caplog.records


def test_classifier_is_no_tagger(bert, tmp_path, caplog):
    saved("ForSequenceClassification", bert, tmp_path)
    for architectures in (["BertForSequenceClassification"], None):
        rewrite(tmp_path, change_config=lambda c, a=architectures: {**c, "architectures": a})
        _, info = d.DistilBertForTokenClassification.from_pretrained(
            tmp_path, output_loading_info=True
        )
        assert info["missing_keys"] == ["classifier.weight", "classifier.bias"]
        assert "has no equal" in caplog.text


def test_first_bert_files(bert, tmp_path, caplog):
    """No model_type, no prefix, gamma and beta, a next-sentence head."""
    teacher = saved("Model", bert, tmp_path)
    rewrite(
        tmp_path,
        lambda weights: {
            "cls.seq_relationship.weight": torch.ones(2, 32),
            **{
                n.replace("LayerNorm.weight", "LayerNorm.gamma").replace(
                    "Norm.bias", "Norm.beta"
                ): w
                for n, w in weights.items()
            },
        },
        lambda config: {n: v for n, v in config.items() if n != "model_type"},
    )
    student, info = d.DistilBertModel.from_pretrained(tmp_path, output_loading_info=True)
    assert info["unexpected_keys"] == ["cls.seq_relationship.weight"]
    with torch.no_grad():
        torch.testing.assert_close(student(IDS)[0], teacher(IDS)[0], rtol=1e-5, atol=1e-5)


def test_token_types_of_a_distilbert_are_not_folded(tiny, tmp_path, caplog):
    """DistilBERT has none: what is in such a file is reported, as transformers does."""
    model = d.DistilBertModel(tiny)
    model.save_pretrained(tmp_path)
    table = {"embeddings.token_type_embeddings.weight": torch.ones(2, 32)}
    rewrite(tmp_path, lambda weights: {**weights, **table})
    loaded = d.DistilBertModel.from_pretrained(tmp_path)
    assert torch.equal(
        loaded.get_position_embeddings().weight, model.get_position_embeddings().weight
    )
    assert "in the files but not in the model: embeddings.token_type_embeddings" in caplog.text


def test_half_precision_is_folded_in_float32(bert, tmp_path):
    torch.manual_seed(0)
    teacher = d.BertModel(bert).half()
    teacher.save_pretrained(tmp_path)
    student = d.DistilBertModel.from_pretrained(tmp_path)
    embeddings = teacher.float().embeddings
    expected = embeddings.position_embeddings.weight + embeddings.token_type_embeddings.weight[0]
    assert torch.equal(student.get_position_embeddings().weight, expected)


@pytest.mark.parametrize("shape", [(32,), (2, 31), (0, 32), (2, 32, 1)])
def test_token_types_of_a_wrong_shape(bert, tmp_path, shape):
    saved("Model", bert, tmp_path)
    name = "embeddings.token_type_embeddings.weight"
    rewrite(tmp_path, lambda weights: {**weights, name: torch.ones(shape)})
    with pytest.raises(ValueError, match=rf"{name} has shape .*, the model needs \(…, 32\)"):
        d.DistilBertModel.from_pretrained(tmp_path)


def test_other_epsilon_is_refused(bert, tmp_path):
    bert.layer_norm_eps = 1e-5
    saved("Model", bert, tmp_path)
    with pytest.raises(ValueError, match=r"config\.json: this BERT has layer_norm_eps 1e-05"):
        d.DistilBertModel.from_pretrained(tmp_path)
    assert d.BertModel.from_pretrained(tmp_path).embeddings.LayerNorm.eps == 1e-5


@pytest.mark.parametrize(
    "wrong", [{"position_embedding_type": "relative_key"}, {"is_decoder": True}]
)
def test_what_the_encoder_does_not_have_is_refused(bert, tmp_path, wrong):
    saved("Model", bert, tmp_path)
    rewrite(tmp_path, change_config=lambda config: {**config, **wrong})
    for cls in (d.DistilBertModel, d.BertModel):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            cls.from_pretrained(tmp_path)


def test_converted_is_saved_as_a_distilbert(bert, tmp_path):
    saved("ForMaskedLM", bert, tmp_path / "bert", max_shard_size="20KB")
    student = d.DistilBertForMaskedLM.from_pretrained(tmp_path / "bert")
    student.save_pretrained(tmp_path / "student")
    config = json.loads((tmp_path / "student" / "config.json").read_text())
    assert config["model_type"] == "distilbert"
    assert config["architectures"] == ["DistilBertForMaskedLM"]
    again = d.DistilBertForMaskedLM.from_pretrained(tmp_path / "student")
    with torch.no_grad():
        assert torch.equal(again(IDS).logits, student(IDS).logits)

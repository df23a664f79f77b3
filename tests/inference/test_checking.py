"""What int8 does to answers is measured, and layers that hurt are spared."""

import math

import pytest
import torch

import distilbert as d
from distilbert.harm import encode
from distilbert.inference import checking
from distilbert.inference.preparing import build
from distilbert.native import library

from .conftest import HEADS

TEXTS = ["the small model", "un", "a model, the small!", ("the model", "is small")] * 5
pytestmark = pytest.mark.skipif(not library.multiplies_int8(), reason="no 8-bit layer")


@pytest.fixture
def tokenizer(tiny_vocab):
    return d.DistilBertTokenizerFast(tiny_vocab)


@pytest.fixture
def model_of(make, tiny_vocab):
    return lambda head, **fields: make(head, vocab_size=len(tiny_vocab), **fields)


@pytest.mark.parametrize("family", ["DistilBert", "Bert"])
@pytest.mark.parametrize("head", HEADS)
def test_harm_of_each_head(model_of, tokenizer, head, family):
    model = model_of(head, family=family, dim=64)
    texts = TEXTS if family == "Bert" else ["a small text", "the model"]
    fast = d.prepare(model, "int8", check=texts, tokenizer=tokenizer, tolerance=9.0)
    assert 0 < fast.harm.error < 0.3
    assert fast.harm.exact == ()
    if head in ("Model", "ForMultipleChoice"):
        assert math.isnan(fast.harm.changed)
    else:
        assert 0 <= fast.harm.changed < 0.5
    exact = d.prepare(model, check=texts, tokenizer=tokenizer)
    assert exact.harm.error < 1e-5
    assert "decisions" in repr(fast) or head in ("Model", "ForMultipleChoice")


def test_harm_is_what_it_says(model_of, tokenizer):
    model = model_of("ForTokenClassification")
    fast = d.prepare(model, "int8", check=TEXTS[:3], tokenizer=tokenizer, tolerance=9.0)
    batch = tokenizer(TEXTS[:3], padding=True, return_tensors="pt")
    keep = batch["attention_mask"].bool()
    found, expected = (m(**batch).logits[keep] for m in (fast, model))
    error = (found - expected).norm() / expected.norm()
    assert fast.harm.error == pytest.approx(error.item(), rel=1e-3)
    changed = (found.argmax(-1) != expected.argmax(-1)).double().mean()
    assert fast.harm.changed == pytest.approx(changed.item(), abs=1e-6)


def test_the_layer_that_hurts_is_spared(model_of, tokenizer):
    """One input of one layer is so large that nothing else of a row is left in 8 bits."""
    model = model_of("Model", dim=64, hidden_dim=64)
    block = model.transformer.layer[1].ffn
    with torch.no_grad():
        block.lin1.bias[5] = 3000.0
        block.lin2.weight[:, 5] = 0.0
    fast = d.prepare(model, "int8", check=TEXTS, tokenizer=tokenizer, tolerance=0.08)
    assert fast.harm.exact == ("layer.1.lin2",)
    assert fast.layers["layer.1.lin2"] != "int8"
    assert list(fast.layers.values()).count("int8") == len(fast.layers) - 1
    unchecked = d.prepare(model, "int8", check=TEXTS, tokenizer=tokenizer, tolerance=9.0)
    assert fast.harm.error < 0.08 < unchecked.harm.error
    inputs = encode(TEXTS, tokenizer, model.config, False)
    order = checking.most_harmful(build(model, "fp32"), build(model, "int8"), inputs)
    assert order[0] == "layer.1.lin2"
    assert sorted(order) == sorted(fast.layers)


def test_a_tolerance_that_cannot_be_kept_is_told(model_of, tokenizer, caplog):
    model = model_of("ForSequenceClassification")
    fast = d.prepare(model, "int8", check=TEXTS, tokenizer=tokenizer, tolerance=1e-7)
    assert "int8" not in fast.layers.values()
    assert "above the tolerance of 1e-07" in caplog.text


def test_load_reads_the_tokenizer_of_the_folder(model_of, tokenizer, tmp_path):
    model_of("ForQuestionAnswering").save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    assert d.load(tmp_path, "int8", check=TEXTS).harm.error < 0.1


@pytest.mark.parametrize(
    "options", [{"padding_side": "left"}, {"model_input_names": ["input_ids"]}]
)
def test_a_check_does_not_depend_on_how_the_tokenizer_pads(model_of, tiny_vocab, options):
    model = model_of("ForSequenceClassification")
    found, expected = (
        d.prepare(model, "int8", check=["the small model", "un"], tokenizer=reader, tolerance=9.0)
        for reader in (
            d.DistilBertTokenizerFast(tiny_vocab, **options),
            d.DistilBertTokenizerFast(tiny_vocab),
        )
    )
    assert found.harm == expected.harm


def test_bad_input(model_of, tokenizer):
    model = model_of("Model")
    with pytest.raises(TypeError, match="needs the tokenizer that reads the texts"):
        d.prepare(model, "int8", check=TEXTS)
    with pytest.raises(ValueError, match="has no texts"):
        d.prepare(model, "int8", check=[], tokenizer=tokenizer)
    with pytest.raises(TypeError, match=r"takes texts, or pairs .* got 7"):
        d.prepare(model, "int8", check=["a", 7], tokenizer=tokenizer)
    with pytest.raises(ValueError, match="tolerance=0 must be a positive number"):
        d.prepare(model, "int8", check=TEXTS, tokenizer=tokenizer, tolerance=0)


def test_tuples_and_nan_are_compared_too(model_of, tokenizer, caplog):
    model = model_of("ForSequenceClassification", return_dict=False)
    fast = d.prepare(model, "int8", check=["the model"], tokenizer=tokenizer, tolerance=9.0)
    assert fast.harm.error > 0
    model.classifier.bias.data[0] = torch.inf
    with caplog.at_level("WARNING", "distilbert"):
        fast = d.prepare(model, "int8", check=["the model"], tokenizer=tokenizer)
    assert math.isnan(fast.harm.error)
    assert "the error is above the tolerance" in caplog.text

"""Pipelines over prepared models."""

import numpy as np
import pytest

import distilbert


def assert_alike(found, expected):
    """Compare answers: numbers nearly, the rest exactly."""
    assert type(found) is type(expected)
    if isinstance(expected, dict):
        assert found.keys() == expected.keys()
        for key in expected:
            assert_alike(found[key], expected[key])
    elif isinstance(expected, list):
        assert len(found) == len(expected)
        for pair in zip(found, expected, strict=True):
            assert_alike(*pair)
    elif isinstance(expected, float | np.ndarray):
        np.testing.assert_allclose(found, expected, atol=1e-5)
    else:
        assert found == expected


@pytest.mark.parametrize("family", ["DistilBert", "Bert"])
def test_answers_are_the_model_s(make_model, tokenizer, task, head, family, inputs, options):
    model = make_model(head, family)
    expected = distilbert.pipeline(task, model, tokenizer)(inputs, **options)
    prepared = distilbert.pipeline(task, distilbert.prepare(model), tokenizer)
    assert_alike(prepared(inputs, **options), expected)


def test_a_folder_opened_prepared(folder, task, head, inputs, options):
    place = folder(head)
    expected = distilbert.pipeline(task, place)(inputs, **options)
    pipe = distilbert.pipeline(task, place, precision="fp32")
    assert isinstance(pipe.model.model, distilbert.PreparedModel)
    assert_alike(pipe(inputs, **options), expected)


def test_int8_answers_do_not_depend_on_the_others(folder):
    pipe = distilbert.pipeline("text-classification", folder("ForSequenceClassification"),
                               precision="int8", batch_tokens=64)  # fmt: skip
    texts = ["the small model", "un", "a quick brown fox", "models!"] * 12
    for text, answer in zip(texts, pipe(texts), strict=True):
        assert_alike(answer, pipe([text])[0])


def test_another_head_is_refused(make_model, tokenizer):
    prepared = distilbert.prepare(make_model("ForMaskedLM"))
    with pytest.raises(ValueError, match=r"needs a .*classification head, and DistilBertForMask"):
        distilbert.pipeline("text-classification", prepared, tokenizer)

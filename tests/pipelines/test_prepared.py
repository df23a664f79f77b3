"""Pipelines over prepared models."""

import random
from concurrent.futures import ThreadPoolExecutor

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
    assert isinstance(pipe.model, distilbert.PreparedModel)
    assert_alike(pipe(inputs, **options), expected)


def test_options_of_prepared_models_need_a_precision(folder):
    place = folder("ForSequenceClassification")
    pipe = distilbert.pipeline("text-classification", place, precision="fp32", engine="torch")
    assert pipe.model.engine == "torch"
    for name, value in {"threads": 1, "engine": "torch"}.items():
        with pytest.raises(TypeError, match=f"^{name} is an option of prepared models: .*precisio"):
            distilbert.pipeline("text-classification", place, **{name: value})


@pytest.mark.parametrize(("precision", "tolerance"), [("fp32", 1e-5), ("int8", 2e-3)])
def test_a_text_alone_among_many_and_from_eight_threads(folder, monkeypatch, precision, tolerance):
    """In 8 bits a rounding may fall the other way; a scale shared with others would do far more."""
    torch = pytest.importorskip("torch")
    from distilbert.inference import slices
    from distilbert.native import library

    if precision == "int8" and not library.multiplies_int8():
        pytest.skip("no 8-bit layer")
    monkeypatch.setattr(slices, "SLICE_TOKENS", 50)
    monkeypatch.setattr(slices, "FEWEST_TOKENS", 4)
    before = torch.get_num_threads()
    place, options = folder("ForSequenceClassification"), {"top_k": None, "batch_tokens": 512}
    pipe = distilbert.pipeline(
        "text-classification", place, precision=precision, threads=2, **options
    )
    draw = random.Random(0)
    words = ["the", "small", "smaller", "model", "models", "un", "a", "b", "x", "!", "?", "é"]
    texts = [" ".join(draw.choices(words, k=draw.randint(1, 30))) for _ in range(2000)]

    def scores(answers):
        return np.array([[each["score"] for each in sorted(answer, key=lambda e: e["label"])]
                         for answer in answers])  # fmt: skip

    try:
        together = scores(pipe(iter(texts)))
        assert len(np.unique(together.round(4), axis=0)) > 1000  # texts that differ in their answer
        alone = scores(pipe([text])[0] for text in texts[::20])
        np.testing.assert_allclose(alone, together[::20], atol=tolerance)
        with ThreadPoolExecutor(8) as pool:
            parts = pool.map(lambda start: scores(pipe(iter(texts[start::8]))), range(8))
            for start, part in enumerate(parts):
                np.testing.assert_allclose(part, together[start::8], atol=tolerance)
    finally:
        torch.set_num_threads(before)


def test_another_head_is_refused(make_model, tokenizer):
    prepared = distilbert.prepare(make_model("ForMaskedLM"))
    with pytest.raises(ValueError, match=r"needs a .*classification head, and DistilBertForMask"):
        distilbert.pipeline("text-classification", prepared, tokenizer)

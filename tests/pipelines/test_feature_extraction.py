import numpy as np
import pytest

import distilbert


@pytest.fixture
def parts(tokenizer):
    """A model whose hidden states are the ids and their squares."""

    def model(input_ids, attention_mask):
        return {"last_hidden_state": np.stack([input_ids, input_ids**2], -1)}

    return {"model": model, "tokenizer": tokenizer, "config": distilbert.DistilBertConfig()}


def test_a_vector_per_token(parts, tokenizer):
    extract = distilbert.pipeline("feature-extraction", **parts)
    ids = np.array(tokenizer("small models")["input_ids"])
    found = extract(["small models", "un the small model the un"])[0]
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, np.stack([ids, ids**2], -1))


def test_pooling(parts, tokenizer):
    extract = distilbert.pipeline("feature-extraction", **parts)
    whole = extract("small models")
    np.testing.assert_allclose(extract("small models", pooling="mean"), whole.mean(0))
    np.testing.assert_allclose(extract("small models", pooling="first"), whole[0])
    unit = extract("small models", normalize=True)
    np.testing.assert_allclose((unit**2).sum(-1), np.ones(len(whole)), rtol=1e-6)


def test_sentences(parts):
    embed = distilbert.pipeline("sentence-embedding", **parts)
    one, other = embed(["small models", "un"])
    assert one.shape == (2,)
    assert np.linalg.norm(one) == pytest.approx(1)
    assert np.linalg.norm(embed("un", normalize=False)) > 2
    np.testing.assert_allclose(embed("un"), other)


def test_nothing_has_no_direction(tokenizer):
    embed = distilbert.SentenceEmbeddingPipeline(
        lambda input_ids, attention_mask: np.zeros((*input_ids.shape, 3)),
        tokenizer,
        config=distilbert.DistilBertConfig(),
    )
    assert embed("un").tolist() == [0, 0, 0]


def test_bad_pooling(parts):
    with pytest.raises(ValueError, match="pooling must be one of none, mean, first; got 'max'"):
        distilbert.pipeline("sentence-embedding", **parts, pooling="max")

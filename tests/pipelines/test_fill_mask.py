import numpy as np
import pytest

import distilbert
from distilbert.pipelines.fill_mask import _best


@pytest.fixture
def fill(tokenizer):
    """A model that likes token 40 best, then 41, and so on."""

    def model(input_ids, attention_mask):
        liking = np.zeros(len(tokenizer))
        liking[40:46] = np.arange(9, 3, -1)
        return np.broadcast_to(liking, (*input_ids.shape, len(tokenizer)))

    config = distilbert.DistilBertConfig(vocab_size=len(tokenizer), max_position_embeddings=48)
    return distilbert.pipeline("fill-mask", model, tokenizer, config=config)


def test_the_likeliest_tokens_first(fill, tokenizer):
    found = fill("the [MASK] model")
    assert [each["token"] for each in found] == [40, 41, 42, 43, 44]
    assert found[0]["token_str"] == tokenizer.decode([40])
    liking = np.exp([9, 8, 7, 6, 5, 4]).sum() + len(tokenizer) - 6
    assert found[0]["score"] == pytest.approx(np.exp(9) / liking)
    assert len(fill("the [MASK]", top_k=500)) == len(tokenizer)


def test_the_vocabulary_may_grow(tiny_vocab):
    tokenizer = distilbert.DistilBertTokenizerFast(tiny_vocab, model_max_length=48)
    size = len(tokenizer)

    def model(input_ids, attention_mask):
        return np.broadcast_to(np.arange(size + 8), (*input_ids.shape, size + 8))

    config = distilbert.DistilBertConfig(vocab_size=size + 8, max_position_embeddings=48)
    fill = distilbert.pipeline("fill-mask", model, tokenizer, config=config)
    assert fill("[MASK]")[0]["token"] == size - 1
    assert fill._vocabulary is fill._target_ids(fill.options)
    tokenizer.add_tokens(["newword"])
    assert fill("[MASK]")[0]["token_str"] == "newword"


def test_several_masks_each_on_its_own(fill):
    found = fill("[MASK] the [MASK]", top_k=1)
    assert len(found) == 2
    assert found[0][0]["sequence"].count("[MASK]") == 1
    assert found[0][0]["sequence"].startswith("[CLS]")


def test_targets(fill, tokenizer):
    found = fill("[MASK]", targets=["small", "THE", "small"])
    assert [each["token_str"] for each in found] == ["small", "the"]
    assert fill("[MASK]", targets="##er")[0]["token"] == tokenizer.convert_tokens_to_ids("##er")


def test_ids_beyond_the_tokenizer_are_no_answers(tokenizer):
    """Of a vocabulary filled up to a round size; their probability is counted, not shared out."""
    size = len(tokenizer)

    def model(input_ids, attention_mask):
        liking = np.zeros(size + 16)
        liking[size:], liking[40] = 9, 9
        return np.broadcast_to(liking, (*input_ids.shape, size + 16))

    config = distilbert.DistilBertConfig(vocab_size=size + 16, max_position_embeddings=48)
    fill = distilbert.pipeline("fill-mask", model, tokenizer, config=config)
    found = fill("the [MASK]", top_k=size + 16)
    assert sorted(each["token"] for each in found) == list(range(size))
    assert found[0]["token"] == 40
    assert found[0]["score"] == pytest.approx(np.exp(9) / (17 * np.exp(9) + size - 1))


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        (["smaller"], r"the target 'smaller' is not one token .* but \['small', '##er'\]"),
        (["\U0001f600"], r"is not one token of the vocabulary but \['\[UNK\]'\]"),
        ([], "targets is empty"),
        ([" "], "a target is empty"),
    ],
)
def test_impossible_targets(fill, targets, message):
    with pytest.raises(ValueError, match=message):
        fill("[MASK]", targets=targets)


def test_bad_input(fill, tiny_vocab):
    with pytest.raises(ValueError, match=r"'the model' has no \[MASK\]; write it"):
        fill("the model")
    with pytest.raises(ValueError, match=r"input 1: .* has no \[MASK\]"):
        fill(["[MASK]", "the model"])
    with pytest.raises(ValueError, match=r"no \[MASK\] is left of .* once its end is cut"):
        fill("the " * 60 + "[MASK]", truncation=True)
    with pytest.raises(ValueError, match="top_k must be at least 1, got 0"):
        fill("[MASK]", top_k=0)
    bare = distilbert.DistilBertTokenizerFast(tiny_vocab, mask_token=None)
    with pytest.raises(ValueError, match="no mask token"):
        distilbert.FillMaskPipeline(fill.model, bare, config=fill.config)


@pytest.mark.parametrize("top_k", [1, 3, 7, 20, 50])
def test_the_best_are_those_of_sorting_all(top_k):
    scores = np.round(np.random.default_rng(0).random(40), 1)  # many are equal
    targets = np.random.default_rng(1).permutation(40)[:20]
    order = np.argsort(-scores[targets], kind="stable")[:top_k]
    assert _best(scores, targets, top_k) == (
        targets[order].tolist(),
        scores[targets[order]].tolist(),
    )


def test_the_best_of_nan_are_nan():
    tokens, scores = _best(np.full(9, np.nan), np.arange(9), 2)
    assert tokens == [0, 1]
    assert np.isnan(scores).all()


def test_only_the_best_are_kept_of_the_logits(make_model, tokenizer):
    fill = distilbert.pipeline("fill-mask", make_model("ForMaskedLM"), tokenizer, top_k=2)
    kept = fill.compute(fill.read("the [MASK] [MASK] model").rows)
    assert [[len(tokens) for tokens, _ in masks] for masks in kept] == [[2, 2]]


def test_a_tokenizer_that_cuts_masks_is_refused(make_model, tiny_vocab):
    tokenizer = distilbert.DistilBertTokenizerFast(tiny_vocab, split_special_tokens=True)
    with pytest.raises(ValueError, match="split_special_tokens = False"):
        distilbert.pipeline("fill-mask", make_model("ForMaskedLM"), tokenizer)

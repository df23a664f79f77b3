import numpy as np
import pytest

import distilbert
from distilbert.tasks.features import encode

LOGITS = np.array([1.0, -2.0, 3.0])
NAMES = {0: "a", 1: "b", 2: "c"}


def classifier(tokenizer, logits=LOGITS, top_k="best", **settings):
    def model(input_ids, attention_mask):
        return np.broadcast_to(logits, (len(input_ids), len(logits)))

    names = {i: NAMES[i] for i in range(len(logits))}
    config = distilbert.DistilBertConfig(id2label=names, max_position_embeddings=48, **settings)
    return distilbert.pipeline("text-classification", model, tokenizer, config=config, top_k=top_k)


def test_one_label(tokenizer):
    classify = classifier(tokenizer)
    score = np.exp(3) / np.exp(LOGITS).sum()
    assert classify(["the", "model"]) == [{"label": "c", "score": pytest.approx(score)}] * 2
    assert classify("the") == [{"label": "c", "score": pytest.approx(score)}]


def test_top_k(tokenizer):
    classify = classifier(tokenizer)
    assert [each["label"] for each in classify("the", top_k=2)] == ["c", "a"]
    assert [each["label"] for each in classify(["the"], top_k=None)[0]] == ["c", "a", "b"]


def test_one_label_that_is_asked_for_is_a_list(tokenizer):
    classify = classifier(tokenizer)
    (best,) = classify("the")
    assert classify("the", top_k=1) == [best]
    assert classify(["the", "un"], top_k=1) == [[best], [best]]
    assert classify(["the", "un"], top_k="best") == [best, best]
    asked = classifier(tokenizer, top_k=1)
    assert asked(["the"]) == [[best]]


def test_several_labels_each_on_its_own(tokenizer):
    classify = classifier(tokenizer, problem_type="multi_label_classification")
    scores = {each["label"]: each["score"] for each in classify("the", top_k=None)}
    assert scores == pytest.approx({n: 1 / (1 + np.exp(-LOGITS[i])) for i, n in NAMES.items()})


def test_values(tokenizer):
    value = classifier(tokenizer, np.array([-7.5]), problem_type="regression")
    assert value("the") == [{"label": "a", "score": -7.5}]
    alone = classifier(tokenizer, np.array([0.0]))
    assert alone("the") == [{"label": "a", "score": 0.5}]
    assert alone("the", function_to_apply="none")[0]["score"] == 0


def test_pairs(tokenizer):
    seen = []
    classify = classifier(tokenizer)
    inner = classify.model
    classify.model = lambda **arrays: seen.append(arrays["input_ids"]) or inner(**arrays)
    pair = tokenizer("the", "model")["input_ids"]
    assert isinstance(classify({"text": "the", "text_pair": "model"}), dict)
    assert isinstance(classify(("the", "model")), dict)
    classify([("the", "model"), "un"])
    assert seen[0].tolist() == seen[1].tolist() == [pair]
    assert seen[2][0].tolist() == pair
    assert isinstance(classify("the", text_pair="model"), list)
    classify([{"text": "the"}, ("the", "model")], text_pair="model")
    assert seen[3].tolist() == [pair]
    assert seen[4].tolist() == [pair, pair]


@pytest.mark.parametrize("pair", [("the", ""), ("", "the"), ("the", " ")])
def test_a_pair_with_an_empty_text_is_read_as_in_fine_tuning(tokenizer, pair):
    seen = []
    classify = classifier(tokenizer)
    inner = classify.model
    classify.model = lambda **arrays: seen.append(arrays["input_ids"]) or inner(**arrays)
    classify(pair)
    rows, _ = encode(tokenizer, [pair[0]], [pair[1]], 0, np.zeros(1))
    assert seen[0].tolist() == [rows.tokens.tolist()]


def test_bad_input(tokenizer):
    classify = classifier(tokenizer)
    with pytest.raises(ValueError, match=r"the keys text and text_pair, got \['texts'\]"):
        classify({"texts": "the"})
    with pytest.raises(ValueError, match="input 0: both texts of the pair are empty"):
        classify([(" ", "")])
    with pytest.raises(TypeError, match="the second text must be a string, not 3"):
        classify(("the", 3))
    with pytest.raises(ValueError, match="has no tokens"):
        classify(("\u200b", ""))
    with pytest.raises(
        TypeError, match="a text, or two as a dict with text and text_pair or as a tuple, not"
    ):
        classify([["the", "model"]])
    with pytest.raises(ValueError, match="has no tokens"):
        classify("\u200b\u00ad")
    with pytest.raises(ValueError, match=r"top_k must be at least 1, got 0; None .* gives all"):
        classify("the", top_k=0)
    with pytest.raises(TypeError, match=r"top_k must be an integer, got '3'; None .null in JSON"):
        classify("the", top_k="3")
    with pytest.raises(ValueError, match="must be one of softmax, sigmoid, none"):
        classify("the", function_to_apply="relu")


def test_labels_and_logits_must_agree(tokenizer):
    classify = classifier(tokenizer)
    classify.config = distilbert.DistilBertConfig(num_labels=2)
    with pytest.raises(ValueError, match=r"logits of shape \(3,\) .* has 2 labels"):
        classify("the")


def test_a_second_text_for_inputs_without_one(make_model, tokenizer):
    pipe = distilbert.pipeline(
        "text-classification", make_model("ForSequenceClassification"), tokenizer, top_k=None
    )
    pair = {"text": "the", "text_pair": "small"}
    for alone in ("the", {"text": "the"}, {"text": "the", "text_pair": None}, ("the", None)):
        assert pipe([alone], text_pair="small") == pipe([pair])
    assert pipe([pair], text_pair="model") == pipe([pair])
    with pytest.raises(TypeError, match="text_pair must be a string, got 3"):
        pipe.set_options(text_pair=3)

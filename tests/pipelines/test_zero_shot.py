import numpy as np
import pytest

import distilbert

NAMES = {0: "Contradiction", 1: "NEUTRAL", 2: "ENTAILMENT"}


def classifier(tokenizer, names=NAMES):
    """Entailment counts the letters "a" of the row, contradiction is always 1."""
    letter = tokenizer.convert_tokens_to_ids("a")
    found = [i for i, name in names.items() if name.lower().startswith("entail")]

    def model(input_ids, attention_mask):
        logits = np.ones((len(input_ids), len(names)))
        logits[:, found] = (input_ids == letter).sum(1)[:, None]
        return logits

    config = distilbert.DistilBertConfig(id2label=names, max_position_embeddings=48)
    return distilbert.pipeline("zero-shot-classification", model, tokenizer, config=config)


def test_one_of_the_labels(tokenizer):
    classify = classifier(tokenizer)
    found = classify("the model", ["a a a", "un", "a"], hypothesis_template="{}")
    assert found["sequence"] == "the model"
    assert found["labels"] == ["a a a", "a", "un"]
    weights = np.exp([3.0, 1, 0])
    assert found["scores"] == pytest.approx(weights / weights.sum())
    assert classify("the model", "a a a, un , a", hypothesis_template="{}") == found


def test_texts_are_sequences_too(tokenizer):
    classify = classifier(tokenizer)
    labels = ["a a a", "un"]
    assert classify(sequences=["the"], candidate_labels=labels) == classify(["the"], labels)
    for given in ({}, {"inputs": "the", "sequences": "the"}):
        with pytest.raises(ValueError, match=r"give a text, .* as inputs or as sequences"):
            classify(candidate_labels=labels, **given)


def test_each_label_on_its_own(tokenizer):
    classify = classifier(tokenizer)
    found = classify("the", ["a a a", "un"], hypothesis_template="{}", multi_label=True)
    assert found["scores"] == pytest.approx([1 / (1 + np.exp(1 - 3)), 1 / (1 + np.exp(1))])
    assert classify("the", ["un"], hypothesis_template="{}")["scores"] == pytest.approx(
        [1 / (1 + np.exp(1))]
    )


def test_two_labels_need_no_contradiction(tokenizer):
    classify = classifier(tokenizer, {0: "not_entailment", 1: "entailment"})
    assert classify("the", ["un"])["scores"] == pytest.approx([1 / (1 + np.exp(1))])


def test_only_the_text_is_cut(tokenizer):
    classify = classifier(tokenizer)
    found = classify("the " * 99, ["a a a", "un"], hypothesis_template="{}", truncation=True)
    assert found["labels"][0] == "a a a"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "candidate_labels is empty"),
        ({"candidate_labels": " , "}, "candidate_labels is empty"),
        ({"candidate_labels": ["a", ""]}, "a candidate label is empty"),
        ({"candidate_labels": "a", "hypothesis_template": "This"}, "must have {} where the label"),
        ({"candidate_labels": "a", "hypothesis_template": "{} {}"}, "where the label goes, once"),
        ({"candidate_labels": "a", "hypothesis_template": 3}, "must have {} where the label"),
    ],
)
def test_bad_input(tokenizer, options, message):
    with pytest.raises(ValueError, match=message):
        classifier(tokenizer)("the", **options)


def test_models_without_the_labels(tokenizer):
    with pytest.raises(ValueError, match="no label of the model is named entailment, but NO, YES"):
        classifier(tokenizer, {0: "NO", 1: "YES"})
    classify = classifier(tokenizer, {0: "x", 1: "y", 2: "entailment"})
    with pytest.raises(ValueError, match="named contradiction; there are x, y, "):
        classify("the", ["a", "b"], multi_label=True)
    with pytest.raises(ValueError, match="a single candidate label, needs a label"):
        classify.read("the", candidate_labels=["a"])  # before anything is computed
    with pytest.raises(TypeError, match="truncation must be true or false"):
        classify("the", ["a", "b"], truncation="no")

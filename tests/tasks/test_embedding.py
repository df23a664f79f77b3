"""Sentence embeddings: what columns there are decides what is learnt."""

import numpy as np
import pytest

from distilbert.tasks.embedding import Embedding, retrieval
from distilbert.tasks.labels import Labels
from distilbert.tasks.tables import Table

TASK = Embedding("embedding", "spearman")
COLUMNS = {"sentence1": ["the model.", "a", "c d"], "sentence2": ["a", "b", "the"],
           "label": [5, "0", 2.5]}  # fmt: skip


def examples_of(columns, tokenizer, task=TASK):
    return task.examples(Table("a.csv", columns), Labels(()), tokenizer, 16)


def without(*names):
    return {name: values for name, values in COLUMNS.items() if name not in names}


def test_pairs_with_similarities(tokenizer):
    examples = examples_of(COLUMNS, tokenizer)
    features = examples.features
    batch = features.batch(np.array([2, 0]))
    expected = tokenizer(["c d", "the", "the model.", "a"])["input_ids"]
    for row, ids in enumerate(expected):
        assert batch.input_ids[row, : len(ids)].tolist() == ids
    assert (len(features), features.outputs, batch.rows, examples.texts) == (3, 6, 1, 6)
    assert batch.places.tolist() == [4, 5, 0, 1]
    assert batch.labels.tolist() == [0.5, 1.0]
    assert examples.scores == ("spearman", "pearson")
    assert examples.kind == "pairs with similarities of 0 to 5"
    angles = np.array([0, np.pi / 2, np.pi / 3])  # cosines 1, 0 and 0.5
    outputs = np.zeros((6, 2))
    outputs[::2, 0] = [1, 2, 3]
    outputs[1::2] = np.stack([np.cos(angles), np.sin(angles)], 1)
    assert examples.score(outputs) == pytest.approx({"spearman": 1.0, "pearson": 1.0})


def test_the_range_is_that_of_the_training_data(tokenizer):
    table = Table("train.csv", {**COLUMNS, "label": [1, 2, 9]})
    fitted = TASK.fitted(table)
    assert examples_of(COLUMNS, tokenizer, fitted).features.labels.tolist() == [0.5, -0.125, 0.1875]
    assert TASK.fitted(Table("a.csv", without("label"))) == TASK
    assert TASK.fitted(Table("a.csv", without("sentence2"))) == TASK


def test_pairs_that_belong_together(tokenizer):
    examples = examples_of(without("label"), tokenizer)
    assert examples.features.labels.tolist() == [[0, 1], [1, 3], [2, 4]]
    assert examples.features.are_contrasted
    assert examples.scores == ("mrr", "accuracy")
    outputs = np.eye(3).repeat(2, 0)
    assert examples.score(outputs) == {"mrr": 1.0, "accuracy": 1.0}


def test_two_pairs_are_enough(tokenizer):
    columns = {name: values[:2] for name, values in COLUMNS.items()}
    assert examples_of(columns, tokenizer).features.labels.tolist() == [1.0, 0.0]


def test_embeddings_of_0_are_scored(tokenizer):
    """Far from everything, instead of making every score nan."""
    outputs = np.eye(3).repeat(2, 0)
    outputs[:2] = 0
    scores = examples_of(without("label"), tokenizer).score(outputs)
    assert scores["mrr"] == pytest.approx((1 / 3 + 1 + 1) / 3)


def test_texts_alone(tokenizer):
    examples = examples_of(without("sentence2"), tokenizer)
    features = examples.features
    assert (features.rows, features.labels.shape, examples.scores) == (1, (3, 0), ("loss",))
    assert features.batch(np.array([1])).labels.shape == (1, 0)
    assert examples.score(np.eye(3)) == {}


def test_retrieval():
    angle = np.array([0.0, 1.0, 2.0, 3.0])
    unit = np.stack([np.cos(angle), np.sin(angle)], 1)
    labels = np.array([[0, 4], [1, 5], [2, 6], [3, 7]])
    right = retrieval(unit, unit, labels)
    assert right == {"mrr": 1.0, "accuracy": 1.0}
    shifted = retrieval(unit, unit[[1, 0, 2, 3]], labels)  # two find each other's first
    assert shifted == {"mrr": 0.75, "accuracy": 0.5}
    assert retrieval(unit, np.ones((4, 2)), labels)["mrr"] == 0.25  # all alike: the worst counts
    both = np.array([[0, 4], [0, 5], [2, 6], [3, 7]])  # either answer of text 0 is right
    assert retrieval(unit, unit[[1, 0, 2, 3]], both) == {"mrr": 1.0, "accuracy": 1.0}
    itself = np.array([[0, 4], [1, 0], [2, 6], [3, 7]])  # text 0 is another's answer
    assert retrieval(unit, unit[[1, 0, 2, 3]], itself)["accuracy"] == 0.75


@pytest.mark.parametrize("rows", [1, 2, 7])
def test_retrieval_part_by_part(monkeypatch, rows):
    draw = np.random.default_rng(0)
    first, second = draw.normal(size=(2, 9, 3))
    labels = draw.integers(0, 6, (9, 2))
    whole = retrieval(first, second, labels)
    monkeypatch.setattr("distilbert.tasks.embedding._ROWS", rows)
    assert retrieval(first, second, labels) == whole


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sentence1": None}, r"no column 'sentence1'; .* Say which one with text_column"),
        ({"sentence2": ["a", " ", "b"]}, r"a.csv, row 2: 'sentence2' is empty"),
        ({"sentence1": ["a", 3, "b"]}, r"row 2: 'sentence1' is not text but of type int"),
        ({"label": [3, 3.0, "3"]}, r"a.csv: 'label' is 3 in every row, so there is nothing to"),
        ({"label": [3, "far", 1]}, r"row 2: 'label' is 'far', not a number"),
        ({"label": [3, None, 1]}, r"row 2: 'label' is empty"),
        (
            {"sentence1": ["a"], "sentence2": ["b"], "label": None},
            r"one pair of a.csv is there to compare",
        ),
    ],
)
def test_wrong_tables(tokenizer, changes, message):
    columns = {name: values for name, values in {**COLUMNS, **changes}.items() if values}
    with pytest.raises(ValueError, match=message):
        examples_of(columns, tokenizer)


def test_columns_that_are_named_must_be_there(tokenizer):
    for setting in ("second_text_column", "label_column"):
        task = Embedding("embedding", "spearman", **{setting: "other"})
        with pytest.raises(ValueError, match=f"no column 'other'; .* Say which one with {setting}"):
            examples_of(COLUMNS, tokenizer, task)


@pytest.mark.parametrize(
    "names", [["entailment", "neutral", "contradiction"], ["entailment", "not_entailment"]]
)
def test_classes_are_no_similarity(tokenizer, names):
    table = Table("a.csv", {**COLUMNS, "label": [0, 1, 1]}, {"label": names})
    with pytest.raises(ValueError, match=f"'label' has the classes {', '.join(names)}, whose num"):
        TASK.examples(table, Labels(()), tokenizer, 16)
    named = Table("a.csv", {**COLUMNS, "label": [0, 1, 1]}, {"label": ["not_same", "same"]})
    assert TASK.examples(named, Labels(()), tokenizer, 16).features.labels.tolist() == [0, 1, 1]

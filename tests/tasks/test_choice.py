"""Multiple choice: a row per ending."""

import numpy as np
import pytest

from distilbert.tasks.choice import Choice
from distilbert.tasks.labels import Labels
from distilbert.tasks.tables import Table

TASK = Choice("swag", "accuracy")
COLUMNS = {"sent1": ["the model.", "a"], "sent2": ["it", ""], "ending0": ["a b", "b"],
           "ending1": ["c", "c d"], "ending2": ["d", "e"], "label": [2, "0"]}  # fmt: skip


def test_rows(tokenizer, perfect):
    examples = TASK.examples(Table("a.csv", COLUMNS), Labels(()), tokenizer, 16)
    features = examples.features
    expected = tokenizer(
        ["the model."] * 3 + ["a"] * 3, ["it a b", "it c", "it d", "b", "c d", "e"]
    )
    batch = features.batch(np.array([0, 1]))
    for row, ids in enumerate(expected["input_ids"]):
        assert batch.input_ids[row, : len(ids)].tolist() == ids
    assert (features.rows, batch.rows, examples.texts) == (3, 3, 6)
    assert features.labels.tolist() == [2, 0]
    assert examples.score(perfect(features, 3)) == {"accuracy": 1.0}


def test_a_missing_beginning(tokenizer):
    table = Table("a.csv", {name: v for name, v in COLUMNS.items() if name != "sent2"})
    features = TASK.examples(table, Labels(()), tokenizer, 16).features
    expected = tokenizer(["the model."], ["a b"])["input_ids"][0]
    assert features.tokens[: len(expected)].tolist() == expected
    wrong = Choice("swag", "accuracy", second_text_column="start")
    with pytest.raises(ValueError, match=r"no column 'start'.*Say which one with second_text_col"):
        wrong.examples(table, Labels(()), tokenizer, 16)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"label": [2, 3]}, "'label' is 3; it must be the number of the right ending, 0 to 2"),
        ({"label": [2, "A"]}, "row 2: 'label' is 'A'"),
        ({"ending1": ["c", ""]}, "row 2: 'ending1' is empty"),
        ({"sent1": ["", "a"]}, "row 1: 'sent1' is empty"),
        ({"ending1": None}, "needs the columns ending0, ending1, …; its columns are: sent1"),
    ],
)  # fmt: skip
def test_wrong_rows(tokenizer, changes, message):
    columns = {name: v for name, v in {**COLUMNS, **changes}.items() if v is not None}
    with pytest.raises(ValueError, match=message):
        TASK.examples(Table("a.csv", columns), Labels(()), tokenizer, 16)

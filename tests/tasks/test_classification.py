"""Texts and pairs with a label, several labels or a value."""

import numpy as np
import pytest

from distilbert.tasks.classification import Classification, MultiLabel, Regression
from distilbert.tasks.labels import Labels
from distilbert.tasks.tables import Table


def table(**columns):
    lines = list(range(2, 2 + len(next(iter(columns.values())))))
    return Table("a.csv", columns, lines=lines)


def test_one_label(tokenizer, perfect):
    task = Classification("mine", "accuracy")
    data = table(text=["a b", "the model", "c"], label=["x", "y", "z"])
    labels = task.learn(data)
    examples = task.examples(data, labels, tokenizer, 16)
    assert labels.names == ("x", "y", "z")
    assert examples.features.labels.tolist() == [0, 1, 2]
    assert examples.features.tokens.tolist() == [
        i for row in tokenizer(data.columns["text"])["input_ids"] for i in row
    ]
    right = perfect(examples.features, 3)
    assert examples.score(right) == {"accuracy": 1.0, "f1": 1.0, "matthews": 1.0}
    right[2] = [9, 0, 0]
    assert examples.score(right)["accuracy"] == pytest.approx(2 / 3)
    assert examples.score(right)["f1"] == pytest.approx((2 / 3 + 1 + 0) / 3)
    assert examples.detail(right).rows == [["x", 1, 0, 0], ["y", 0, 1, 0], ["z", 1, 0, 0]]


def test_f1_of_two_labels_is_that_of_the_second(tokenizer):
    task = Classification("mine", "f1")
    data = table(text=["a", "b", "c", "d"], label=["no", "no", "no", "yes"])
    examples = task.examples(data, task.learn(data), tokenizer, 16)
    outputs = np.array([[1, 0], [1, 0], [0, 1], [0, 1]], np.float32)
    assert examples.score(outputs)["f1"] == pytest.approx(2 / 3)


def test_names_of_the_task_for_floats(tmp_path):
    file = tmp_path / "a.jsonl"
    file.write_text('{"text": "a", "label": 0.0}\n{"text": "b", "label": 1.0}\n')
    task = Classification("mine", "f1", label_names=("other", "same"))
    data = task.read(str(file))
    assert (data.columns["label"], task.learn(data).names) == ([0, 1], ("other", "same"))


@pytest.mark.parametrize("names", [("same", "other"), ("LABEL_0", "LABEL_1")])
@pytest.mark.parametrize("knows", ["task", "file"])
def test_f1_does_not_depend_on_how_a_model_numbers_its_labels(tokenizer, names, knows):
    label_names = ("Other", "Same")
    task = Classification("mine", "f1", label_names=label_names if knows == "task" else ())
    column = {"label": [0, 0, 0, 1]}
    data = Table("a.parquet", {"text": ["a", "b", "c", "d"], **column}, {"label": [*label_names]})
    outputs = np.array([[1, 0], [1, 0], [0, 1], [0, 1]], np.float32)  # of a model of these names
    if names == ("same", "other"):
        outputs = outputs[:, ::-1]
    scores = task.examples(data, Labels(names), tokenizer, 16).score(outputs)
    assert scores["f1"] == pytest.approx(2 / 3)
    assert scores["accuracy"] == 0.75


def test_pairs(tokenizer):
    task = Classification("mine", "accuracy", "one", "two")
    data = table(one=["a b", ""], two=["c", "d e"], label=[0, 1])
    features = task.examples(data, task.learn(data), tokenizer, 16).features
    expected = tokenizer(["a b", ""], ["c", "d e"], return_token_type_ids=True)
    batch = features.batch(np.array([0, 1]))
    for row, ids in enumerate(expected["input_ids"]):
        assert batch.input_ids[row, : len(ids)].tolist() == ids
        assert batch.token_type_ids[row, : len(ids)].tolist() == expected["token_type_ids"][row]


def test_several_labels(tokenizer):
    task = MultiLabel("mine", "f1_micro")
    data = table(text=["a", "b", "c"], label=["x, y", "", "y"])
    labels = task.learn(data)
    assert labels.names == ("x", "y")
    examples = task.examples(data, labels, tokenizer, 16)
    assert examples.features.labels.tolist() == [[1, 1], [0, 0], [0, 1]]
    lists = table(text=["a", "b", "c"], label=[["x", "y"], None, ["y"]])
    again = task.examples(lists, labels, tokenizer, 16).features.labels
    assert again.tolist() == examples.features.labels.tolist()
    outputs = np.array([[1, 1], [-1, -1], [1, 1]], np.float32)
    scores = examples.score(outputs)
    assert scores["accuracy"] == pytest.approx(2 / 3)
    assert scores["f1_micro"] == pytest.approx(6 / 7)
    assert scores["f1_macro"] == pytest.approx((2 / 3 + 1) / 2)
    assert examples.detail(outputs).rows == [["x", 1, 2, 1], ["y", 2, 2, 2]]
    with pytest.raises(ValueError, match="line 3: the label 'z' is none of the model's: x, y"):
        task.examples(table(text=["a", "b"], label=["x", "y,z"]), labels, tokenizer, 16)
    with pytest.raises(ValueError, match="line 2: 'label' must be a list of labels"):
        task.learn(table(text=["a"], label=[3]))
    for wrong, shown in ((None, "None"), (["x"], r"\['x'\]"), (0.5, "0.5")):
        with pytest.raises(ValueError, match=f"line 3: 'label' has {shown} in its list"):
            task.learn(table(text=["a", "b"], label=[["x", "y"], ["y", wrong]]))


def test_a_value(tokenizer):
    task = Regression("mine", "pearson", label_column="score")
    data = table(text=["a", "b", "c"], score=["1.5", 2, 5.0])
    labels = task.learn(data)
    assert labels.names == ("score",)
    examples = task.examples(data, labels, tokenizer, 16)
    assert examples.features.labels.tolist() == [1.5, 2.0, 5.0]
    scores = examples.score(np.array([[0.1], [0.2], [0.9]], np.float32))
    assert scores["spearman"] == pytest.approx(1.0)
    assert 0.9 < scores["pearson"] < 1.0
    for wrong in ("high", "nan", "inf"):
        with pytest.raises(ValueError, match=rf"line 3: 'score' is '{wrong}', not a number"):
            task.examples(table(text=["a", "b"], score=["1", wrong]), labels, tokenizer, 16)
    with pytest.raises(ValueError, match="has one row; a correlation needs at least two"):
        task.examples(table(text=["a"], score=["1"]), labels, tokenizer, 16)


@pytest.mark.parametrize("task", [Classification("mine", "f1"), Regression("mine", "pearson")])
@pytest.mark.parametrize("missing", [None, float("nan"), " "])
def test_a_label_that_is_missing(tokenizer, task, missing):
    data = table(text=["a", "b", "c"], label=[0.0, missing, 1.0])
    with pytest.raises(ValueError, match="line 3: 'label' is empty; fill it in or remove the row"):
        task.examples(data, task.learn(data), tokenizer, 16)


def test_a_text_with_a_lone_surrogate(tokenizer):
    task = Classification("mine", "accuracy")
    data = table(text=["a", "b \ud83d"], label=["x", "y"])
    with pytest.raises(
        ValueError, match=r"line 3: 'text': .*lone surrogate, U\+D83D, at position 2"
    ):
        task.examples(data, task.learn(data), tokenizer, 16)


def test_folders_of_texts(tmp_path, tokenizer):
    for label, texts in {"neg": ["a b"], "pos": ["c", "d"], "unsup": ["e"]}.items():
        (tmp_path / label).mkdir()
        for number, text in enumerate(texts):
            (tmp_path / label / f"{number}_7.txt").write_text(text)
    task = Classification("imdb", "accuracy")
    data = task.read(str(tmp_path))
    assert data.columns == {"text": ["a b", "c", "d"], "label": ["neg", "pos", "pos"]}
    (tmp_path / "pos" / "0_7.txt").write_bytes("\ufeffé".encode())
    assert task.read(str(tmp_path)).columns["text"] == ["a b", "é", "d"]
    (tmp_path / "pos" / "0_7.txt").write_bytes(b"\xe9")
    with pytest.raises(ValueError, match=r"0_7.txt is not UTF-8.*iconv"):
        task.read(str(tmp_path))
    with pytest.raises(ValueError, match="one folder per label"):
        task.read(str(tmp_path / "pos"))


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"text": ["a", " "], "label": ["x", "y"]}, "line 3: the text is empty"),
        ({"text": ["a", None], "label": ["x", "y"]}, "line 3: the text is empty"),
        ({"text": ["a", 7], "label": ["x", "y"]}, "line 3: 'text' is not text but of type int"),
        ({"text": ["a", "b"], "label": ["x", None]}, "line 3: 'label' is empty"),
        ({"text": ["a", "b"], "label": ["x", ["y"]]}, r"line 3: 'label' is \['y'\], not one label"),
        ({"review": ["a", "b"], "label": ["x", "y"]}, "no column 'text'"),
    ],
)
def test_wrong_rows(tokenizer, columns, message):
    task = Classification("mine", "accuracy")
    labels = task.learn(table(text=["a", "b"], label=["x", "y"]))
    with pytest.raises(ValueError, match=message):
        task.examples(table(**columns), labels, tokenizer, 16)

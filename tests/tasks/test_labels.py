"""Label names learned from data, and what values mean to a model."""

import pytest

from distilbert.tasks.labels import Labels, learn
from distilbert.tasks.tables import Table


def table(values, class_names=None):
    return Table("a.csv", {"label": values}, {"label": class_names} if class_names else {}, [])


@pytest.mark.parametrize(
    ("values", "names"),
    [
        (["yes", "no", "yes"], ("no", "yes")),
        (["10", "9", "1"], ("1", "9", "10")),
        ([10, 9, 1], ("1", "9", "10")),
        ([True, False], ("False", "True")),
        (["b", "2", "a"], ("2", "a", "b")),
        (["nan", "2", "a", "inf", "1"], ("1", "2", "a", "inf", "nan")),
        ([1, "1", 0, "0", "10", 9], ("0", "1", "9", "10")),
        ([1.5, 10, -2, 9], ("-2", "1.5", "9", "10")),
    ],
)
def test_learned_names_are_in_order(values, names):
    learned = learn(table(values), "label", values)
    assert learned.names == names
    assert [names[i] for i in learned.numbers(table(values), "label", values)] == [
        str(v) for v in values
    ]


def test_true_and_1_are_one_label():
    values = [True, False, 1, 0]
    learned = learn(table(values), "label", values)
    assert learned.names == ("False", "True")
    assert learned.numbers(table(values), "label", values).tolist() == [1, 0, 1, 0]


def test_whole_floats_are_integers():
    values = [1.0, 0.0, 2.0]
    learned = learn(table(values), "label", [*values, 1, "2"])
    assert learned.names == ("0", "1", "2")
    for names, class_names in (
        (("0", "1", "2"), None),
        (("0.0", "1.0", "2.0"), None),  # of a model that was trained on the text of such numbers
        (("no", "yes", "perhaps"), None),
        (("no", "yes", "perhaps"), ["No", "Yes", "Perhaps"]),
        (("LABEL_0", "LABEL_1", "LABEL_2"), ["No", "Yes", "Perhaps"]),
    ):
        data = table(values, class_names)
        assert Labels(names).numbers(data, "label", values).tolist() == values
    with pytest.raises(ValueError, match="row 3: the label 'Perhaps' is none of the model's"):
        Labels(("no", "yes")).numbers(table(values, ["No", "Yes", "Perhaps"]), "label", values)


def test_names_differ():
    message = r"the label 'b' is there twice: a, b, c, b\. Give each a name of its own; a model's"
    with pytest.raises(ValueError, match=message):
        Labels(("a", "b", "c", "b"))


def test_class_names_of_the_file():
    data = table([1, 0], ["no", "yes", "perhaps"])
    labels = learn(data, "label", [1, 0])
    assert labels.names == ("no", "yes", "perhaps")
    assert labels.numbers(data, "label", [1, 0]).tolist() == [1, 0]


def test_values_are_read_as_the_model_knows_them():
    swapped = table([0, 1], ["Positive", "Negative"])
    assert Labels(("negative", "positive")).numbers(swapped, "label", [0, 1]).tolist() == [1, 0]
    plain = Labels(("LABEL_0", "LABEL_1"))
    assert plain.numbers(swapped, "label", [0, 1]).tolist() == [0, 1]
    assert plain.numbers(table(["1"]), "label", ["1"]).tolist() == [1]
    stars = Labels(("1", "2", "3"))
    assert stars.numbers(table([3, 1]), "label", [3, 1]).tolist() == [2, 0]
    with pytest.raises(ValueError, match="the label 0 is none of the model's: 1, 2, 3"):
        stars.numbers(table([1, 0]), "label", [1, 0])  # not the first of them


@pytest.mark.parametrize(
    ("names", "class_names", "values"),
    [
        (("POS", "NEG"), ["negative", "positive"], [0, 1]),
        (("negative", "positive"), ["negative", "neutral", "positive"], [0, 1]),
        (("O", "B-PER", "I-PER", "B-LOC"), ["O", "B-ORG", "I-ORG", "B-PER"], [0, 1, 2]),
        (("LABEL_1", "LABEL_0"), ["negative", "positive"], [0, 1]),  # somebody has numbered them
    ],
)
def test_names_that_differ_are_not_read_by_number(names, class_names, values):
    with pytest.raises(ValueError, match="the label") as error:
        Labels(names).numbers(table(values, class_names), "label", values)
    assert f"none of the model's: {', '.join(names)}; " in str(error.value)
    assert f"the file has {', '.join(class_names)}. If they mean the same" in str(error.value)
    assert Labels(names).numbers(table(values), "label", values).tolist() == values


def test_an_unknown_label():
    data = Table("dev.csv", {}, {}, lines=[2, 3, 9])
    with pytest.raises(ValueError, match=r"dev.csv, line 9: the label 'maybe' is none .*: no, yes"):
        Labels(("no", "yes")).numbers(data, "label", ["no", "yes", "maybe"])
    data = table([0, 2], ["no", "yes", "maybe"])
    with pytest.raises(ValueError, match="row 2: the label 'maybe'"):
        Labels(("no", "yes")).numbers(data, "label", [0, 2])


def test_one_class():
    with pytest.raises(ValueError, match="every row has the label 'a'; there is nothing to learn"):
        learn(table(["a", "a"]), "label", ["a", "a"])
    with pytest.raises(ValueError, match="every row has the label '1'; there is nothing to learn"):
        learn(table([1, "1"]), "label", [1, "1"])


@pytest.mark.parametrize(
    "values", [["a", "b\ud83d"], [["a"], ["c", "b\ud83d"]], ["a", "c, b\ud83d"]]
)
def test_a_name_with_a_lone_surrogate(values):
    with pytest.raises(ValueError, match=r"a\.csv, row 2: 'label': .*lone surrogate, U\+D83D"):
        learn(table(values), "label", ["a", "c", "b\ud83d"])

import numpy as np
import pytest

import distilbert


@pytest.fixture
def choose(tokenizer):
    """A model that counts the tokens of the choices."""

    def model(input_ids, attention_mask):
        return attention_mask.sum(-1)

    return distilbert.pipeline(
        "multiple-choice", model, tokenizer, config=distilbert.DistilBertConfig()
    )


def test_the_best_choice(choose):
    found = choose({"text": "the model", "choices": ["un", "small model", "é 中 é"]})
    assert (found["choice"], found["index"]) == ("é 中 é", 2)
    weights = np.exp([1.0, 2, 3])
    assert found["scores"] == pytest.approx(weights / weights.sum())
    assert found["score"] == max(found["scores"])
    assert choose(("the model", ["un", "small model", "é 中 é"])) == found


def test_any_number_of_choices(choose):
    found = choose([("the", ["un", "small model"]), ("the", ["un"] * 7)])
    assert [len(each["scores"]) for each in found] == [2, 7]
    assert found[1]["scores"] == pytest.approx([1 / 7] * 7)


@pytest.mark.parametrize(
    ("item", "error", "message"),
    [
        ({"text": "the"}, ValueError, r"the keys text and choices, got \['text'\]"),
        (("the", ["un"]), ValueError, "at least two choices, got 1"),
        (("the", "un"), TypeError, "a text and a list of choices"),
        (("the", ["un", ""]), ValueError, "a choice is empty"),
        (("the", ["un", 3]), TypeError, "a choice must be a string"),
    ],
)
def test_bad_input(choose, item, error, message):
    with pytest.raises(error, match=message):
        choose(item)

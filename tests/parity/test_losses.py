"""Each kind of loss is transformers', and asking for it changes no configuration."""

import pytest
import torch

pytestmark = pytest.mark.parity

INTEGERS = torch.tensor([2, 0, 1])
SEVERAL = torch.tensor([[1.0, 0.0, 1.0], [0.0, 0.0, 0.0], [1.0, 1.0, 1.0]])
VALUES = torch.tensor([[0.5, -1.0, 2.0], [0.0, 3.0, 1.0], [-0.2, 0.1, 0.0]])
PROBLEMS = {  # num_labels, problem_type, labels
    "one-value": (1, None, VALUES[:, 0]),
    "one-value-as-column": (1, None, VALUES[:, :1]),
    "one-value-named": (1, "regression", VALUES[:, 0]),
    "three-values": (3, "regression", VALUES),
    "one-of-three": (3, None, INTEGERS),
    "one-of-three-as-column": (3, None, INTEGERS[:, None]),
    "one-of-three-named": (3, "single_label_classification", INTEGERS),
    "any-of-three": (3, None, SEVERAL),
    "any-of-three-named": (3, "multi_label_classification", SEVERAL),
}


@pytest.mark.parametrize("class_name", ["DistilBert", "Bert"])
@pytest.mark.parametrize("problem", PROBLEMS)
def test_classification(make_pair, class_name, problem):
    count, problem_type, labels = PROBLEMS[problem]
    pair = make_pair(
        f"{class_name}ForSequenceClassification", num_labels=count, problem_type=problem_type
    )
    pair.check({**pair.inputs("right"), "labels": labels}, gradients=True)
    assert pair.ours.config.problem_type == problem_type


@pytest.mark.parametrize("class_name", ["DistilBert", "Bert"])
@pytest.mark.parametrize(
    "spans",
    [
        pytest.param(([1, 2, 0], [3, 2, 5]), id="inside"),
        pytest.param(([1, 6, 0], [3, 9, 6]), id="some-outside"),
        pytest.param(([[1], [2], [0]], [[3], [2], [5]]), id="as-columns"),
    ],
)
def test_question_answering(make_pair, class_name, spans):
    pair = make_pair(f"{class_name}ForQuestionAnswering")
    names = ("start_positions", "end_positions")
    positions = {n: torch.tensor(value) for n, value in zip(names, spans, strict=True)}
    pair.check({**pair.inputs("holed"), **positions}, gradients=True)


@pytest.mark.parametrize("class_name", ["DistilBert", "Bert"])
@pytest.mark.parametrize("head", ["ForMaskedLM", "ForTokenClassification"])
def test_tokens(make_pair, class_name, head):
    """Labels at masked positions count on the padded path, as in transformers."""
    pair = make_pair(f"{class_name}{head}", num_labels=5)
    given = pair.inputs("holed", labels=True)
    everywhere = torch.arange(given["input_ids"].numel()).view_as(given["input_ids"]) % 5
    pair.check({**given, "labels": everywhere}, gradients=True)
    one = torch.full_like(everywhere, -100)
    one[1, 2] = 3
    pair.check({**given, "labels": one}, gradients=True)


@pytest.mark.parametrize("class_name", ["DistilBert", "Bert"])
def test_multiple_choice(make_pair, class_name):
    pair = make_pair(f"{class_name}ForMultipleChoice")
    pair.check({**pair.inputs("right"), "labels": torch.tensor([1, 0, 1])}, gradients=True)

"""Task losses against PyTorch's own, and where nothing, or something impossible, is labelled."""

import copy

import pytest
import torch
import torch.nn.functional as F

import distilbert as d
from distilbert.modeling import losses


@pytest.fixture
def ids():
    return torch.randint(0, 60, (3, 5), generator=torch.Generator().manual_seed(0))


def classifier(tiny, labels, kind=None):
    tiny.num_labels = labels
    tiny.problem_type = kind
    return d.DistilBertForSequenceClassification(tiny).eval()


def test_classification_by_the_type_of_the_labels(ids, tiny):
    model = classifier(tiny, 3)
    config = copy.deepcopy(model.config)
    logits = model(ids).logits
    single = torch.tensor([0, 2, 1])
    torch.testing.assert_close(model(ids, labels=single).loss, F.cross_entropy(logits, single))
    torch.testing.assert_close(
        model(ids, labels=single.int()).loss, F.cross_entropy(logits, single)
    )
    several = torch.tensor([[0, 1, 1], [0, 0, 0], [1, 0, 1.0]])
    expected = F.binary_cross_entropy_with_logits(logits, several)
    torch.testing.assert_close(model(ids, labels=several).loss, expected)
    assert model.config == config

    score = classifier(tiny, 1)
    values = torch.tensor([0.5, -1.0, 2.0])
    expected = F.mse_loss(score(ids).logits[:, 0], values)
    for labels in (values, values[:, None], values.double()):
        torch.testing.assert_close(score(ids, labels=labels).loss, expected)
    assert score(ids[:1], labels=torch.tensor([1])).loss.shape == ()


def test_problem_type_overrides_the_labels(ids, tiny):
    model = classifier(tiny, 3, "regression")
    values = torch.randn(3, 3)
    expected = F.mse_loss(model(ids).logits, values)
    torch.testing.assert_close(model(ids, labels=values).loss, expected)
    model = classifier(tiny, 3, "multi_label_classification")
    several = torch.tensor([[0, 1, 1], [0, 0, 0], [1, 0, 1]])
    expected = F.binary_cross_entropy_with_logits(model(ids).logits, several.float())
    torch.testing.assert_close(model(ids, labels=several).loss, expected)


@pytest.mark.parametrize("half", [torch.bfloat16, torch.float16], ids=str)
def test_targets_keep_their_precision(half, ids, tiny):
    tiny.num_labels = 1
    model = d.DistilBertForSequenceClassification(tiny).eval()
    years = torch.tensor([2021.0, 2022.0, 100_000.0])
    expected = model(ids, labels=years).loss
    with torch.autocast("cpu", half):
        torch.testing.assert_close(model(ids, labels=years).loss, expected, rtol=1e-3, atol=0)
    found = model.to(half)(ids, labels=years).loss
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=0)


def test_token_losses_leave_out_minus_100(ids, tiny):
    labels = torch.randint(0, 3, (3, 5))
    labels[0, 1:] = -100
    for cls in (d.DistilBertForMaskedLM, d.DistilBertForTokenClassification):
        model = cls(tiny).eval()
        output = model(ids, labels=labels)
        expected = F.cross_entropy(output.logits.flatten(0, 1), labels.flatten())
        torch.testing.assert_close(output.loss, expected)


def test_span_loss(ids, tiny):
    model = d.DistilBertForQuestionAnswering(tiny).eval()
    starts, ends = torch.tensor([1, 4, 7]), torch.tensor([2, -1, 3])
    output = model(ids, start_positions=starts, end_positions=ends)
    expected = (
        F.cross_entropy(output.start_logits[:2], starts[:2])
        + F.cross_entropy(output.end_logits[[0, 2]], ends[[0, 2]])
    ) / 2
    torch.testing.assert_close(output.loss, expected)
    again = model(ids, start_positions=starts[:, None], end_positions=ends[:, None])
    assert torch.equal(again.loss, output.loss)
    with pytest.raises(ValueError, match="both start_positions and end_positions"):
        model(ids, start_positions=starts)


def test_multiple_choice_loss(tiny):
    model = d.DistilBertForMultipleChoice(tiny).eval()
    ids = torch.randint(0, 60, (3, 4, 5))
    labels = torch.tensor([3, 0, 1])
    output = model(ids, labels=labels)
    assert output.logits.shape == (3, 4)
    torch.testing.assert_close(output.loss, F.cross_entropy(output.logits, labels))


@pytest.mark.parametrize(
    ("cls", "labels"),
    [
        (d.DistilBertForMaskedLM, {"labels": torch.full((3, 5), -100)}),
        (d.DistilBertForTokenClassification, {"labels": torch.full((3, 5), -100)}),
        (d.DistilBertForSequenceClassification, {"labels": torch.full((3,), -100)}),
        (
            d.DistilBertForQuestionAnswering,
            {"start_positions": torch.full((3,), 9), "end_positions": torch.full((3,), -3)},
        ),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
@pytest.mark.parametrize("implementation", ["eager", "sdpa", "varlen"])
def test_nothing_labelled_is_loss_0_with_a_graph(cls, labels, implementation, ids, tiny):
    model = cls(tiny)
    model.set_attn_implementation(implementation)
    mask = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0], [1, 0, 0, 0, 0]])
    loss = model(ids, attention_mask=mask, **labels).loss
    assert loss.item() == 0
    loss.backward()
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    assert gradients
    assert not any(g.any() for g in gradients)


def test_impossible_labels(ids, tiny):
    token = d.DistilBertForTokenClassification(tiny)
    with pytest.raises(ValueError, match="labels hold 3; there are 3 classes, 0 to 2"):
        token(ids, labels=torch.full((3, 5), 3))
    with pytest.raises(ValueError, match="labels hold -1"):
        token(ids, labels=torch.full((3, 5), -1))
    with pytest.raises(ValueError, match=r"labels must be \(3, 5\), got \(3, 4\)"):
        token(ids, labels=torch.zeros(3, 4, dtype=torch.long))
    token.set_attn_implementation("varlen")
    mask = torch.ones(3, 5).tril()
    with pytest.raises(ValueError, match=r"labels must be \(3, 5\), got \(5, 3\)"):
        token(ids, attention_mask=mask, labels=torch.zeros(5, 3, dtype=torch.long))
    with pytest.raises(TypeError, match=r"labels must be a torch\.Tensor, got list"):
        token(ids, attention_mask=mask, labels=ids.tolist())
    with pytest.raises(TypeError, match=r"labels must be integers, got torch\.float32"):
        token(ids, labels=torch.zeros(3, 5))
    several = classifier(tiny, 3)
    with pytest.raises(ValueError, match=r"labels must be \(3, 3\), got \(3, 2\)"):
        several(ids, labels=torch.zeros(3, 2))
    with pytest.raises(ValueError, match=r"\(3,\), one class per text, got \(3, 3\).*multi_label"):
        several(ids, labels=torch.zeros(3, 3, dtype=torch.long))
    alone = classifier(tiny, 1, "single_label_classification")
    with pytest.raises(
        ValueError, match=r"num_labels is 1.*nothing to learn; say num_labels=2, or"
    ):
        alone(ids, labels=torch.zeros(3, dtype=torch.long))
    assert alone(ids).loss is None
    answers = d.DistilBertForQuestionAnswering(tiny)
    with pytest.raises(ValueError, match=r"positions must be \(3,\)"):
        answers(ids, start_positions=ids[:2, 0], end_positions=ids[:2, 0])


@pytest.mark.parametrize("half", [torch.bfloat16, torch.float16], ids=str)
def test_losses_of_half_precision(half):
    torch.manual_seed(0)
    logits, labels = torch.randn(50_000, 30), torch.randint(0, 30, (50_000,))
    exact = losses.cross_entropy(logits, labels)
    found = losses.cross_entropy(logits.to(half), labels)  # the sum is 190,000
    torch.testing.assert_close(found, exact, rtol=2e-4, atol=0)

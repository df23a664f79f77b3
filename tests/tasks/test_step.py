"""The losses of fine-tuning: those of the heads, and a teacher's by the textbook."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import distilbert as d
from distilbert.tasks.batches import TaskSource
from distilbert.tasks.features import Features
from distilbert.tasks.step import TaskStep, Weights, logits_of, run, taught_sum, to_inputs

SHAPE = {"vocab_size": 50, "n_layers": 2, "n_heads": 2, "dim": 16, "hidden_dim": 32,
         "max_position_embeddings": 16, "dropout": 0.0, "attention_dropout": 0.0,
         "seq_classif_dropout": 0.0, "qa_dropout": 0.0,
         "attn_implementation": "varlen"}  # fmt: skip
KINDS = {
    "single": ("SequenceClassification", {"num_labels": 3}),
    "multi": ("SequenceClassification",
              {"num_labels": 3, "problem_type": "multi_label_classification"}),
    "value": ("SequenceClassification", {"num_labels": 1, "problem_type": "regression"}),
    "tags": ("TokenClassification", {"num_labels": 3}),
    "span": ("QuestionAnswering", {}),
    "choice": ("MultipleChoice", {}),
}  # fmt: skip
ALL = {**KINDS, "similarity": ("Model", {})}


def make(kind, bert=False, **options):
    head, own = ALL[kind]
    cls = head if head == "Model" else f"For{head}"
    fields = {**SHAPE, **own, **options}
    torch.manual_seed(0)
    if not bert:
        return getattr(d, f"DistilBert{cls}")(d.DistilBertConfig(**fields))
    for name in ("seq_classif_dropout", "qa_dropout"):
        fields.pop(name, None)
    return getattr(d, f"Bert{cls}")(d.BertConfig(**fields))


def test_a_bert_with_one_segment_reads_pairs():
    model = make("single", bert=True, type_vocab_size=1).eval()
    ids, types = torch.tensor([[1, 2, 3, 4]]), torch.tensor([[0, 0, 1, 1]])
    assert torch.equal(run(model, ids, types, [4]).logits, model(ids).logits)


def features(kind, examples=7, seed=0):
    draw = np.random.default_rng(seed)
    rows = 2 if kind in ("choice", "similarity") else 1
    lengths = draw.integers(3, 12, examples * rows)
    tokens = draw.integers(1, 50, lengths.sum()).astype(np.int32)
    firsts = lengths // 2
    labels = draw.integers(0, 3, examples)
    if kind == "multi":
        labels = draw.integers(0, 2, (examples, 3)).astype(np.float32)
    elif kind in ("value", "similarity"):
        labels = draw.normal(size=examples).astype(np.float32)
    elif kind == "tags":
        labels = np.where(draw.random(len(tokens)) < 0.5, draw.integers(0, 3, len(tokens)), -100)
    elif kind == "span":
        labels = np.stack([lengths - 2, lengths - 1], 1)
    elif kind == "choice":
        labels = labels % 2
    per_token = kind in ("tags", "span")
    width = {"value": 1, "span": 2, "choice": 2, "similarity": 16}.get(kind, 3)
    per_row = kind == "similarity"
    outputs = len(tokens) if per_token else rows * examples if per_row else examples
    teacher_logits = draw.normal(size=(outputs, width)).astype(np.float32)
    return Features(tokens, lengths, firsts, labels, 0, rows, per_token, teacher_logits, per_row)


def total(step, data, **options):
    """Return the loss of one step over all its micro-batches, and its gradients."""
    step.zero_grad()
    with TaskSource(data, seed=0, batch_size=len(data), prefetch=0, **options) as source:
        [micros], counts = source.step(0)
    losses = [step(*to_inputs(micro, torch.device("cpu")), counts)[0] for micro in micros]
    loss = torch.stack(losses).sum()
    loss.backward()
    return loss.item(), [p.grad.clone() for p in step.parameters() if p.grad is not None]


@pytest.mark.parametrize("bert", [False, True], ids=["distilbert", "bert"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_loss_is_that_of_the_head(kind, bert):
    model = make(kind, bert)
    data = features(kind)
    batch = data.batch(np.arange(len(data)))
    ids, types, lengths, labels, _ = to_inputs(batch, torch.device("cpu"))
    given = {"labels": labels}
    if kind == "span":
        given = {"start_positions": labels[:, 0], "end_positions": labels[:, 1]}
    if bert:
        given["token_type_ids"] = types
    expected = model(input_ids=ids, lengths=lengths, **given).loss
    loss, _ = total(TaskStep(model), data, micro_tokens=1000)
    assert loss == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.parametrize("kind", ALL)
def test_micro_batches_add_up(kind):
    data = features(kind)
    weights = Weights(labels=0.7, ce=0.3, hidden=0.5, attention=0.5)
    teacher = make(kind, bert=True, n_layers=4)
    torch.manual_seed(1)
    step = TaskStep(make(kind), None, weights, 2.0, teacher)
    whole, gradients = total(step, data, micro_tokens=1000)
    parts, split = total(step, data, micro_tokens=24)
    assert parts == pytest.approx(whole, rel=1e-5)
    for one, other in zip(gradients, split, strict=True):
        torch.testing.assert_close(other, one, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("bert", [False, True], ids=["distilbert", "bert"])
def test_embeddings_are_means_of_real_tokens(bert):
    """The loss is Sentence-BERT's and the teacher's, of texts that are computed one by one."""
    model, data = make("similarity", bert), features("similarity")
    step = TaskStep(model, None, Weights(labels=0.7, ce=0.3))
    loss, _ = total(step, data, micro_tokens=1000)
    starts, own = data.ends - data.lengths, []
    for row, (start, end) in enumerate(zip(starts, data.ends, strict=True)):
        types = {"token_type_ids": (torch.arange(end - start) >= data.firsts[row])[None].long()}
        ids = torch.from_numpy(data.tokens[start:end].astype(np.int64))[None]
        own.append(model(ids, **(types if bert else {})).last_hidden_state[0].mean(0))
    own, labels = torch.stack(own), torch.from_numpy(data.labels)
    cosines = F.cosine_similarity(own[::2], own[1::2])
    away = 1 - F.cosine_similarity(own, torch.from_numpy(data.teacher_logits))
    expected = 0.7 * (cosines - labels).pow(2).mean() + 0.3 * away.mean()
    assert loss == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.parametrize("kind", ["single", "tags"])
def test_class_weights_are_torch_s(kind):
    model, data = make(kind), features(kind)
    weights = torch.tensor([0.5, 1.0, 3.0])
    batch = data.batch(np.arange(len(data)))
    ids, types, lengths, labels, _ = to_inputs(batch, torch.device("cpu"))
    logits = logits_of(model, run(model, ids, types, lengths), lengths)
    expected = F.cross_entropy(logits.flatten(0, -2), labels.flatten(), weight=weights)
    loss, _ = total(TaskStep(model, weights), data, micro_tokens=30, class_weights=weights.numpy())
    assert loss == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_a_teacher_is_followed(kind):
    """Nothing is lost where student and teacher agree; else it is the textbook's sum."""
    model, data = make(kind), features(kind)
    batch = data.batch(np.arange(len(data)))
    ids, types, lengths, labels, teacher_logits = to_inputs(batch, torch.device("cpu"))
    logits = logits_of(model, run(model, ids, types, lengths), lengths).detach()
    temperature = 3.0
    found = taught_sum(model, logits, teacher_logits, labels, lengths, temperature)
    own = logits
    if kind in ("tags", "span"):
        is_real = torch.arange(logits.shape[1]) < torch.tensor(lengths)[:, None]
        own = logits[is_real]
    same = taught_sum(model, logits, own, labels, lengths, temperature)
    assert same.item() == pytest.approx(0, abs=1e-4)
    if kind == "value":
        expected = (own - teacher_logits).pow(2).sum()
    elif kind == "multi":
        p, q = (teacher_logits / temperature).sigmoid(), (own / temperature).sigmoid()
        both = p * (p / q).log() + (1 - p) * ((1 - p) / (1 - q)).log()
        expected = temperature**2 * both.sum()
    elif kind == "span":
        parts = zip(own.split(lengths), teacher_logits.split(lengths), strict=True)
        expected = sum(_kl(t.T, s.T, temperature) for s, t in parts)
    else:
        if kind == "tags":
            known = labels[is_real] != -100
            own, teacher_logits = own[known], teacher_logits[known]
        expected = _kl(teacher_logits, own, temperature)
    assert found.item() == pytest.approx(expected.item(), rel=1e-4)


def _kl(teacher, student, temperature):
    p, q = (teacher / temperature).softmax(-1), (student / temperature).softmax(-1)
    return temperature**2 * (p * (p / q).log()).sum()


@pytest.mark.parametrize("kind", ["single", "tags", "choice"])
def test_what_the_configurations_want_shown_changes_nothing(kind):
    data = features(kind)
    weights = Weights(labels=0.7, ce=0.3, hidden=0.5, attention=0.5)
    results = []
    for shown in (False, True):
        options = {"output_attentions": shown, "output_hidden_states": shown}
        teacher = make(kind, bert=True, n_layers=4, **options)
        step = TaskStep(make(kind, **options), None, weights, 2.0, teacher)
        results.append(total(step, data, micro_tokens=1000))
    (loss, gradients), (other_loss, others) = results
    assert other_loss == loss
    assert all(torch.equal(one, other) for one, other in zip(gradients, others, strict=True))


def test_attention_weights_are_never_computed():
    for shown in ("output_attentions", "output_hidden_states"):
        model = make("tags", **{shown: True})
        batch = features("tags").batch(np.arange(7))
        ids, types, lengths, *_ = to_inputs(batch, torch.device("cpu"))
        output = run(model, ids, types, lengths)
        assert output.attentions is None
        assert output.hidden_states is None


def test_wrong_weights():
    for wrong in ({"ce": -1.0}, {"ce": math.nan}, {"labels": math.inf}):
        with pytest.raises(ValueError, match="weights of terms must be 0 or more"):
            Weights(**wrong)
    with pytest.raises(ValueError, match="all weights are 0"):
        Weights(labels=0.0)
    with pytest.raises(ValueError, match=r"labels or that of ce must be above 0: .*'hidden': 1"):
        Weights(labels=0.0, hidden=1.0)
    for temperature in (0.0, math.nan, math.inf):
        with pytest.raises(ValueError, match=f"temperature must be above 0 .*got {temperature}"):
            TaskStep(make("single"), temperature=temperature)
    with pytest.raises(ValueError, match="attention transfer needs equal heads"):
        TaskStep(make("single"), None, Weights(attention=1.0), 1.0, make("single", n_heads=4))
    pruned = make("single")
    pruned.prune_heads({1: [0]})
    with pytest.raises(ValueError, match="layer 1 of the teacher has 1, layer 1 of the student 2"):
        TaskStep(make("single"), None, Weights(attention=1.0), 1.0, pruned)


def test_nothing_is_left_on_a_teacher_of_several_seeds():
    teacher = make("tags")
    for _ in range(2):
        step = TaskStep(make("tags"), None, Weights(attention=1.0), 1.0, teacher)
        total(step, features("tags"), micro_tokens=1000)
    for module in (*teacher.modules(), *step.modules()):
        assert not module._forward_hooks


def test_a_student_of_more_layers_than_twice_its_teachers():
    teacher = make("tags", n_layers=1)
    step = TaskStep(make("tags", n_layers=4), None, Weights(attention=1.0), 1.0, teacher)
    assert step.pairs == [0, 1, 1, 1, 1]
    assert total(step, features("tags"), micro_tokens=1000)[0] > 0

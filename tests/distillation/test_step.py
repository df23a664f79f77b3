"""A distillation step against the formulas, written over padded models, and split in parts."""

import copy

import pytest
import torch
import torch.nn.functional as F

import distilbert as d
from distilbert.distillation.batches import Counts
from distilbert.distillation.step import DistillationStep, MaskedLMStep, Weights
from distilbert.distillation.student import default_layers, from_teacher
from distilbert.distillation.vocabulary_terms import Decoder, vocabulary_terms
from distilbert.inference.preparing import use_fast_stack

SIZES = {"vocab_size": 60, "max_position_embeddings": 16, "initializer_range": 0.2}


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


@pytest.fixture
def teacher():
    return d.BertForMaskedLM(
        d.BertConfig(
            hidden_size=32,
            num_hidden_layers=4,
            num_attention_heads=4,
            intermediate_size=48,
            **SIZES,
        )
    ).eval()


@pytest.fixture
def student():
    return d.DistilBertForMaskedLM(
        d.DistilBertConfig(
            n_layers=2, n_heads=4, dim=32, hidden_dim=48, dropout=0.0, attention_dropout=0.0,
            attn_implementation="varlen", **SIZES,
        )
    )  # fmt: skip


@pytest.fixture
def batch():
    """Rows of unequal length, with unequal numbers of labels."""
    lengths = [6, 3, 5, 3]
    ids = torch.randint(5, 60, (4, 6))
    labels = torch.full((4, 6), -100)
    labels[0, 1], labels[0, 4], labels[1, 2], labels[3, 0] = 7, 9, 11, 13
    for row, length in enumerate(lengths):
        ids[row, length:] = 0
    return ids, labels, lengths


def counts_of(batch):
    _, labels, lengths = batch
    return Counts(tokens=sum(lengths), masked=int((labels != -100).sum()))


def mask_of(lengths, columns):
    return (torch.arange(columns) < torch.tensor(lengths)[:, None]).long()


def triple_loss(student, teacher, batch, weights, temperature=2.0):
    """The paper's triple loss from padded outputs of transformers' kind."""
    ids, labels, lengths = batch
    mask = mask_of(lengths, ids.shape[1])
    keep = mask.bool()
    s = student(ids, attention_mask=mask, output_hidden_states=True)
    with torch.no_grad():
        t = teacher(ids, attention_mask=mask, output_hidden_states=True)
    s_logits, t_logits = s.logits[keep] / temperature, t.logits[keep] / temperature
    ce = temperature**2 * F.kl_div(s_logits.log_softmax(-1), t_logits.softmax(-1), reduction="sum")
    ce = ce / keep.sum()
    mlm = F.cross_entropy(s.logits[labels != -100], labels[labels != -100])
    cos = 1 - F.cosine_similarity(s.hidden_states[-1][keep], t.hidden_states[-1][keep])
    return weights.ce * ce + weights.mlm * mlm + weights.cos * cos.mean()


def gradients_of(module):
    return {n: p.grad.clone() for n, p in module.named_parameters() if p.grad is not None}


def assert_same_gradients(one, other, **tolerance):
    assert one.keys() == other.keys()
    for name in one:
        torch.testing.assert_close(one[name], other[name], **tolerance)


@pytest.mark.parametrize(
    "weights",
    [Weights(), Weights(mlm=0), Weights(ce=0), Weights(cos=0), Weights(1, 1, 1)],
    ids=["all", "no mlm", "no ce", "no cos", "ones"],
)
def test_triple_loss(weights, student, teacher, batch):
    reference = copy.deepcopy(student)
    reference.set_attn_implementation("sdpa")
    expected = triple_loss(reference, teacher, batch, weights)
    expected.backward()
    step = DistillationStep(student, copy.deepcopy(teacher), weights).train()
    loss, sums = step(*batch, counts_of(batch))
    loss.backward()
    torch.testing.assert_close(loss, expected, rtol=1e-5, atol=1e-5)
    assert_same_gradients(gradients_of(student), gradients_of(reference), rtol=1e-4, atol=1e-5)
    assert set(sums) >= {name for name in ("mlm", "ce", "cos") if getattr(weights, name)}
    assert not teacher.training
    assert all(p.grad is None for p in teacher.parameters())


@pytest.mark.parametrize("cached", [1, 60 * 7, 1 << 18])
@pytest.mark.parametrize("chunk", [1, 8, 64])
@pytest.mark.parametrize("taught", [True, False])
def test_vocabulary_terms_in_pieces_of_any_size(taught, chunk, cached, monkeypatch):
    monkeypatch.setattr("distilbert.distillation.vocabulary_terms.CACHED", cached)
    states, weight, bias = (torch.randn(s, requires_grad=True) for s in ((17, 8), (60, 8), (60,)))
    labels = torch.randint(0, 60, (17,)).masked_fill(torch.rand(17) < 0.5, -100)
    target = torch.randn(17, 8), torch.randn(60, 8), torch.randn(60)
    logits = F.linear(states, weight, bias)
    mlm = F.cross_entropy(logits, labels, reduction="sum")
    log_goal = (F.linear(*target) / 3).log_softmax(-1)
    ce = 9 * F.kl_div((logits / 3).log_softmax(-1), log_goal, reduction="sum", log_target=True)
    expected = 0.5 * mlm + 0.25 * ce * taught
    loss, mlm_sum, ce_sum = vocabulary_terms(
        Decoder(states, weight, bias), labels, mlm=0.5, temperature=3.0, chunk=chunk,
        teacher=Decoder(*target) if taught else None, ce=0.25 * taught,
    )  # fmt: skip
    torch.testing.assert_close((loss, mlm_sum, ce_sum), (expected, mlm, ce * taught))
    parameters = states, weight, bias
    torch.testing.assert_close(
        torch.autograd.grad(3 * loss, parameters, retain_graph=True),
        torch.autograd.grad(3 * expected, parameters),
    )
    with pytest.raises(RuntimeError, match="one backward pass"):
        torch.autograd.grad(loss, parameters)


@pytest.mark.parametrize("weights", [Weights(), Weights(hidden=1.0)], ids=["triple", "hidden"])
def test_a_quick_teacher_teaches_the_same(weights, student, teacher, batch):
    results = []
    for quick in (False, True):
        own = copy.deepcopy(student)
        step = DistillationStep(own, copy.deepcopy(teacher), weights)
        if quick:
            use_fast_stack(step.teacher, "fp32")
        loss, _ = step(*batch, counts_of(batch))
        loss.backward()
        results.append((loss.detach(), gradients_of(own)))
    (loss, gradients), (expected, others) = results
    torch.testing.assert_close(loss, expected, rtol=1e-5, atol=1e-5)
    assert_same_gradients(gradients, others, rtol=1e-4, atol=1e-5)


def part(batch, rows):
    ids, labels, lengths = batch
    lengths = [lengths[row] for row in rows]
    columns = max(lengths)
    return ids[rows, :columns], labels[rows, :columns], lengths


ALL = Weights(hidden=0.5, attention=0.3, relation=0.7)


@pytest.mark.parametrize("weights", [Weights(), ALL], ids=["triple", "everything"])
@pytest.mark.parametrize("parts", [[[0, 1, 2, 3]], [[0], [1, 2, 3]], [[1, 3], [2], [0]]], ids=str)
def test_a_batch_is_the_sum_of_its_micro_batches(parts, weights, student, teacher, batch):
    whole = DistillationStep(copy.deepcopy(student), copy.deepcopy(teacher), weights)
    loss, sums = whole(*batch, counts_of(batch))
    loss.backward()
    step = DistillationStep(student, teacher, weights)
    total, total_sums = 0.0, dict.fromkeys(sums, 0.0)
    for rows in parts:
        part_loss, part_sums = step(*part(batch, rows), counts_of(batch))
        part_loss.backward()
        total += part_loss.item()
        total_sums = {name: total_sums[name] + part_sums[name].item() for name in sums}
    assert total == pytest.approx(loss.item(), rel=1e-5)
    assert total_sums == pytest.approx({n: s.item() for n, s in sums.items()}, rel=1e-4)
    assert_same_gradients(gradients_of(student), gradients_of(whole.student), rtol=1e-4, atol=1e-5)


def minilm_v2(student, teacher, batch, heads):
    """MiniLMv2 from the definition, one sequence at a time."""
    ids, _, lengths = batch
    kept = {}
    hooks = []
    for who, model in (("s", student), ("t", teacher)):
        attention = model.base_model.transformer.layer[-1].attention
        for name in ("q_lin", "k_lin", "v_lin"):
            hooks.append(
                getattr(attention, name).register_forward_hook(
                    lambda _m, _i, out, key=(who, name): kept.update({key: out[0]})
                )
            )
    total = 0.0
    for row, length in zip(ids, lengths, strict=True):
        student(row[None, :length])
        with torch.no_grad():
            teacher(row[None, :length])
        for name in ("q_lin", "k_lin", "v_lin"):
            relation = {}
            for who in "st":
                a = kept[who, name].unflatten(-1, (heads, -1)).transpose(0, 1)  # (heads, L, d_r)
                relation[who] = (a @ a.transpose(1, 2) / a.shape[-1] ** 0.5).softmax(-1)
            kl = relation["t"] * (relation["t"] / relation["s"]).log()
            total = total + kl.sum() / heads
    for hook in hooks:
        hook.remove()
    return total / sum(lengths)


def test_relations(student, teacher, batch):
    reference = copy.deepcopy(student)
    reference.set_attn_implementation("sdpa")
    expected = minilm_v2(reference, teacher, batch, 8)
    expected.backward()
    weights = Weights(ce=0, mlm=0, cos=0, relation=1.0)
    step = DistillationStep(student, teacher, weights, relation_heads=8)
    loss, sums = step(*batch, counts_of(batch))
    loss.backward()
    assert set(sums) == {"relation"}
    torch.testing.assert_close(loss, expected, rtol=1e-5, atol=1e-5)
    assert_same_gradients(gradients_of(student), gradients_of(reference), rtol=1e-4, atol=1e-5)
    assert not any(name.startswith("vocab_") for name in gradients_of(student))


def test_relations_stop_the_teacher_at_their_layer(student, teacher, batch):
    weights = Weights(ce=0, mlm=0, cos=0, relation=1.0)
    step = DistillationStep(student, teacher, weights, relation_layer=2)
    assert len(step.teacher.base_model.transformer.layer) == 2
    assert step(*batch, counts_of(batch))[0] > 0


@pytest.mark.parametrize(
    "weights",
    [Weights(ce=0), Weights(ce=0, mlm=0), Weights(0, 0, 0, hidden=1), Weights(0, 0, 0, attention=1),
     Weights(0, 0, 0, relation=1), Weights(0, 0, 0, attention=1, relation=1)],
    ids=["mlm", "cos", "hidden", "attention", "relation", "both"],
)  # fmt: skip
def test_what_no_term_reaches_is_frozen_and_nothing_else(weights, student, teacher, batch):
    step = DistillationStep(student, teacher, weights, relation_heads=8)
    loss, _ = step(*batch, counts_of(batch))
    loss.backward()
    for name, parameter in step.named_parameters():
        assert parameter.requires_grad == (parameter.grad is not None), name


def test_teachers_of_other_width(teacher, batch):
    narrow = d.DistilBertForMaskedLM(
        d.DistilBertConfig(n_layers=3, n_heads=4, dim=16, hidden_dim=32, **SIZES)
    )
    weights = Weights(hidden=1.0, attention=1.0, relation=1.0)
    step = DistillationStep(narrow, teacher, weights, relation_heads=4)
    loss, _ = step(*batch, counts_of(batch))
    loss.backward()
    assert torch.isfinite(loss)
    assert step.projection.weight.grad.any()
    assert step.pairs == [0, 1, 3, 4]


@pytest.mark.parametrize("weights", [Weights(), ALL], ids=["triple", "everything"])
def test_what_the_configurations_want_shown_changes_nothing(weights, student, teacher, batch):
    expected, terms = DistillationStep(
        copy.deepcopy(student), copy.deepcopy(teacher), weights, relation_heads=4
    )(*batch, counts_of(batch))
    for model in (student, teacher):
        model.config.output_attentions = True
        model.config.output_hidden_states = True
    step = DistillationStep(student, teacher, weights, relation_heads=4)
    loss, sums = step(*batch, counts_of(batch))
    assert torch.equal(loss, expected)
    assert sums == terms
    if weights == Weights():
        use_fast_stack(teacher, "fp32")  # which has no attention weights to show
        loss, _ = step(*batch, counts_of(batch))
        torch.testing.assert_close(loss, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("who", ["student", "teacher"])
def test_padding_is_never_counted_as_tokens(who, student, teacher, batch):
    step = DistillationStep(student, teacher, Weights())
    getattr(step, who).set_attn_implementation("sdpa")
    with pytest.raises(ValueError, match="computed padding as well"):
        step(*batch, counts_of(batch))
    step(*part(batch, [1, 3]), counts_of(batch))  # of equal length: there is none


def test_a_student_of_more_layers_than_twice_its_teachers(teacher, batch):
    deep = d.DistilBertForMaskedLM(
        d.DistilBertConfig(n_layers=4, n_heads=4, dim=32, hidden_dim=48, dropout=0.0, **SIZES)
    )
    shallow = copy.deepcopy(teacher.config)
    shallow.n_layers = 1
    step = DistillationStep(deep, d.BertForMaskedLM(shallow), Weights(hidden=1.0, attention=1.0))
    assert step.pairs == [0, 1, 1, 1, 1]
    loss, _ = step(*batch, counts_of(batch))
    assert torch.isfinite(loss)


def test_ce_at_masked_tokens_only(student, teacher, batch):
    ids, labels, lengths = batch
    weights = Weights(ce=1.0, mlm=0.0, cos=0.0)
    loss, _ = DistillationStep(student, teacher, weights, ce_at_masked=True)(
        *batch, counts_of(batch)
    )
    student.set_attn_implementation("sdpa")
    teacher.set_attn_implementation("sdpa")
    mask = mask_of(lengths, 6)
    at = labels != -100
    s = student(ids, attention_mask=mask).logits[at] / 2
    t = teacher(ids, attention_mask=mask).logits[at] / 2
    expected = 4 * F.kl_div(s.log_softmax(-1), t.softmax(-1), reduction="batchmean")
    torch.testing.assert_close(loss, expected, rtol=1e-5, atol=1e-5)


def test_masked_lm_step(student, batch):
    ids, labels, lengths = batch
    loss, sums = MaskedLMStep(student)(*batch, counts_of(batch))
    student.set_attn_implementation("sdpa")
    output = student(ids, attention_mask=mask_of(lengths, 6), labels=labels)
    torch.testing.assert_close(loss, output.loss, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(sums["mlm"], output.loss, rtol=1e-5, atol=1e-5)


def test_combinations_that_cannot_be(student, teacher):
    def refused(match, *args, **kwargs):
        with pytest.raises(ValueError, match=match):
            DistillationStep(*args, **kwargs)

    refused("nothing to train on", student, teacher, Weights(0, 0, 0))
    refused("masked-LM head", student, teacher.bert, Weights())
    refused("relation_layer must be 1 to 4", student, teacher, Weights(), relation_layer=5)
    refused(r"relation_heads \(5\) must divide", student, teacher, ALL, relation_heads=5)
    other = copy.deepcopy(teacher)
    other.resize_token_embeddings(70)
    refused("one vocabulary: the teacher has 70", student, other, Weights())
    pair = d.DistilBertForMaskedLM(
        d.DistilBertConfig(n_layers=1, n_heads=2, dim=32, hidden_dim=8, **SIZES)
    )
    refused("needs equal heads", pair, teacher, Weights(attention=1.0))
    teacher.prune_heads({3: [1]})
    refused("layer 3 of the teacher has 3, layer 1 of the student 4", student, teacher,
            Weights(attention=1.0))  # fmt: skip
    refused(r"must divide the widths, got 24", student, teacher, ALL, relation_heads=16)


# The student's start


def test_a_student_of_all_layers_is_its_teacher(teacher, batch):
    ids, _, lengths = batch
    student = from_teacher(teacher, [0, 1, 2, 3]).eval()
    mask = mask_of(lengths, 6)
    torch.testing.assert_close(
        student(ids, attention_mask=mask).logits, teacher(ids, attention_mask=mask).logits,
        rtol=1e-5, atol=1e-5,
    )  # fmt: skip


def test_a_student_has_its_teachers_layers(teacher):
    student = from_teacher(teacher, [1, 3])
    for own, layer in ((0, 1), (1, 3)):
        ours = student.distilbert.transformer.layer[own].state_dict()
        theirs = teacher.bert.transformer.layer[layer].state_dict()
        assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    words = teacher.bert.embeddings
    folded = words.position_embeddings.weight + words.token_type_embeddings.weight[0]
    torch.testing.assert_close(student.get_position_embeddings().weight, folded)
    assert torch.equal(student.vocab_transform.weight, teacher.vocab_transform.weight)
    again = from_teacher(student, [1])
    assert again.config.n_layers == 1
    assert again.config.type_vocab_size == 0


def test_a_student_has_its_teachers_pruned_heads(teacher, batch):
    ids, _, lengths = batch
    teacher.prune_heads({0: [1], 2: [0, 3]})
    student = from_teacher(teacher, [1, 2])
    assert student.config.pruned_heads == {1: [0, 3]}
    mask = mask_of(lengths, 6)
    whole = from_teacher(teacher, [0, 1, 2, 3]).eval()
    torch.testing.assert_close(
        whole(ids, attention_mask=mask).logits, teacher(ids, attention_mask=mask).logits,
        rtol=1e-5, atol=1e-5,
    )  # fmt: skip
    weights = Weights(relation=1.0)
    loss, _ = DistillationStep(student, teacher, weights)(*batch, counts_of(batch))
    assert torch.isfinite(loss)


def test_a_student_shows_what_every_new_model_shows(teacher):
    teacher.config.output_attentions = teacher.config.output_hidden_states = True
    config = from_teacher(teacher, [0, 1]).config
    assert not config.output_attentions
    assert not config.output_hidden_states


@pytest.mark.parametrize("layers", [[], [4], [-1], [0, 7]])
def test_layers_that_the_teacher_does_not_have(layers, teacher):
    with pytest.raises(ValueError, match="some of 0 to 3"):
        from_teacher(teacher, layers)


def test_default_layers_are_the_papers():
    assert default_layers(12) == [0, 2, 4, 7, 9, 11]


EVERYTHING = Weights(ce=5.0, mlm=2.0, cos=1.0, hidden=1.0, attention=1.0, relation=1.0)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("at_masked", [False, True], ids=["ce at all", "ce at masked"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_all_terms_on_cuda(student, teacher, batch, precision, at_masked):
    def gradients(device, half):
        own, other = copy.deepcopy(student).to(device), copy.deepcopy(teacher).to(device)
        step = DistillationStep(
            own, other.bfloat16() if half else other, EVERYTHING,
            ce_at_masked=at_masked, relation_heads=4,
        )  # fmt: skip
        ids, labels, lengths = batch
        with torch.autocast(device, torch.bfloat16, enabled=half):
            loss, terms = step(ids.to(device), labels.to(device), lengths, counts_of(batch))
        loss.backward()
        grown = torch.cat([p.grad.cpu().flatten() for p in own.parameters() if p.grad is not None])
        return loss.detach().cpu(), {name: float(term) for name, term in terms.items()}, grown

    exact, exact_terms, exact_gradient = gradients("cpu", half=False)
    loss, terms, gradient = gradients("cuda", half=precision == "bf16")
    most = 1e-4 if precision == "fp32" else 0.05
    torch.testing.assert_close(loss, exact, rtol=most, atol=most)
    assert terms == pytest.approx(exact_terms, rel=most, abs=most)
    assert (gradient - exact_gradient).norm() / exact_gradient.norm() < 2 * most

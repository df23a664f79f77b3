"""The objectives against direct transcriptions of the papers' formulas."""

import math

import pytest
import torch

from distilbert.distillation.objectives import attention_mse, cosine, hidden_mse, relations
from distilbert.distillation.vocabulary_terms import Decoder, vocabulary_terms

LENGTHS = [2, 3, 3, 5]
BLOCKS = [(1, 2), (2, 3), (1, 5)]
N = sum(LENGTHS)


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def decoder(width, vocabulary=50, requires_grad=False):
    def draw(*shape):
        return torch.randn(*shape).requires_grad_(requires_grad)

    return Decoder(draw(N, width), draw(vocabulary, width), draw(vocabulary))


def plain_terms(student, teacher, labels, temperature):
    """L_mlm and L_ce, token by token, entry by entry of the formula."""
    mlm = ce = 0.0
    for i in range(N):
        s = student.weight @ student.states[i] + student.bias
        if labels[i] != -100:
            mlm = mlm - torch.log(torch.exp(s[labels[i]]) / torch.exp(s).sum())
        if teacher is not None:
            t = teacher.weight @ teacher.states[i] + teacher.bias
            p = torch.exp(t / temperature) / torch.exp(t / temperature).sum()
            q = torch.exp(s / temperature) / torch.exp(s / temperature).sum()
            ce = ce + temperature**2 * (p * torch.log(p / q)).sum()
    return mlm, ce


@pytest.mark.parametrize("chunk", [1, 4, 100])
@pytest.mark.parametrize("temperature", [1.0, 2.0])
@pytest.mark.parametrize("terms", ["both", "mlm", "ce", "mlm weight 0"])
def test_vocabulary_terms(chunk, temperature, terms):
    student = decoder(8, requires_grad=True)
    teacher = decoder(12) if terms in ("both", "ce", "mlm weight 0") else None
    labels = torch.randint(0, 50, (N,))
    labels[torch.rand(N) < 0.6] = -100
    if terms == "ce":
        labels[:] = -100
    mlm_factor = 0.0 if terms == "mlm weight 0" else 0.3
    ce_factor = 0.7 if teacher is not None else 0.0
    total, mlm, ce = vocabulary_terms(
        student,
        labels,
        mlm=mlm_factor,
        teacher=teacher,
        ce=ce_factor,
        temperature=temperature,
        chunk=chunk,
    )
    (3 * total).backward()
    gradients = [p.grad for p in (student.states, student.weight, student.bias)]
    for p in (student.states, student.weight, student.bias):
        p.grad = None
    plain_mlm, plain_ce = plain_terms(student, teacher, labels, temperature)
    torch.testing.assert_close(mlm, torch.as_tensor(plain_mlm).detach(), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(ce, torch.as_tensor(plain_ce).detach(), rtol=1e-5, atol=1e-5)
    expected = mlm_factor * plain_mlm + ce_factor * plain_ce
    torch.testing.assert_close(total, expected, rtol=1e-5, atol=1e-5)
    (3 * expected).backward()
    for p, gradient in zip((student.states, student.weight, student.bias), gradients, strict=True):
        torch.testing.assert_close(gradient, p.grad, rtol=1e-5, atol=1e-5)
    assert not mlm.requires_grad
    assert not ce.requires_grad


def test_vocabulary_terms_under_autocast():
    student, teacher = decoder(8, requires_grad=True), decoder(8)
    labels = torch.randint(0, 50, (N,))
    exact = vocabulary_terms(student, labels, mlm=1.0, teacher=teacher, ce=1.0)
    with torch.autocast("cpu", torch.bfloat16):
        rough = vocabulary_terms(student, labels, mlm=1.0, teacher=teacher, ce=1.0)
    assert not torch.equal(rough[0], exact[0])
    for a, b in zip(rough, exact, strict=True):
        torch.testing.assert_close(a, b, rtol=0.05, atol=0.5)
    rough[0].backward()
    assert student.weight.grad.dtype == torch.float32


def test_no_tensor_of_tokens_by_vocabulary():
    """The largest tensor is chunk x vocabulary: more tokens allocate no larger one."""
    largest = 0

    class Watch(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            nonlocal largest
            out = function(*args, **(kwargs or {}))
            for x in out if isinstance(out, tuple | list) else [out]:
                if isinstance(x, torch.Tensor):
                    largest = max(largest, x.numel())
            return out

    tokens, vocabulary, width, chunk = 512, 300, 4, 16
    student = Decoder(
        torch.randn(tokens, width, requires_grad=True),
        torch.randn(vocabulary, width, requires_grad=True),
        torch.zeros(vocabulary, requires_grad=True),
    )
    teacher = Decoder(torch.randn(tokens, 8), torch.randn(vocabulary, 8), torch.zeros(vocabulary))
    labels = torch.randint(0, vocabulary, (tokens,))
    with Watch():
        total, _, _ = vocabulary_terms(
            student, labels, mlm=1.0, teacher=teacher, ce=1.0, chunk=chunk
        )
        total.backward()
    assert largest <= max(chunk * vocabulary, tokens * 8)


def test_cosine():
    student, teacher = torch.randn(N, 6), torch.randn(N, 6)
    expected = sum(
        1 - (s @ t) / (s.norm() * t.norm()) for s, t in zip(student, teacher, strict=True)
    )
    torch.testing.assert_close(cosine(student, teacher), expected, rtol=1e-5, atol=1e-5)


def test_hidden_mse():
    student, teacher = torch.randn(N, 6), torch.randn(N, 6)
    expected = sum(((s - t) ** 2).sum() / 6 for s, t in zip(student, teacher, strict=True))
    torch.testing.assert_close(hidden_mse(student, teacher), expected, rtol=1e-5, atol=1e-5)


def sequences(x):
    return x.split(LENGTHS)


def test_relations():
    """MiniLMv2, one sequence and one relation head at a time."""
    heads = 2
    student = tuple(torch.randn(N, 8, requires_grad=True) for _ in range(3))
    teacher = tuple(torch.randn(N, 12) for _ in range(3))
    total = relations(student, teacher, heads, BLOCKS)
    gradients = torch.autograd.grad(total, student)

    expected = 0.0
    for s, t in zip(student, teacher, strict=True):
        for a, b in zip(sequences(s), sequences(t), strict=True):
            for head in range(heads):
                own, goal = a[:, head * 4 : head * 4 + 4], b[:, head * 6 : head * 6 + 6]
                r_own = torch.softmax(own @ own.T / math.sqrt(4), -1)
                r_goal = torch.softmax(goal @ goal.T / math.sqrt(6), -1)
                expected = expected + (r_goal * torch.log(r_goal / r_own)).sum() / heads
    torch.testing.assert_close(total, expected, rtol=1e-5, atol=1e-5)
    for one, other in zip(gradients, torch.autograd.grad(expected, student), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


def test_relations_by_few_sequences_at_a_time(monkeypatch):
    student = tuple(torch.randn(N, 8) for _ in range(3))
    teacher = tuple(torch.randn(N, 8) for _ in range(3))
    at_once = relations(student, teacher, 4, BLOCKS)
    monkeypatch.setattr("distilbert.distillation.objectives._NUMBERS", 1)
    torch.testing.assert_close(relations(student, teacher, 4, BLOCKS), at_once)


def test_attention_mse():
    student = tuple(torch.randn(N, 2, 4) for _ in range(2))
    teacher = tuple(torch.randn(N, 2, 6) for _ in range(2))
    expected = 0.0
    parts = [sequences(x) for x in (*student, *teacher)]
    for q, k, tq, tk in zip(*parts, strict=True):
        for head in range(2):
            difference = q[:, head] @ k[:, head].T / 2 - tq[:, head] @ tk[:, head].T / 6**0.5
            expected = expected + (difference**2).sum() / (2 * len(q))
    total = attention_mse(student, teacher, BLOCKS)
    torch.testing.assert_close(total, expected, rtol=1e-5, atol=1e-5)


def test_what_does_not_fit():
    three = tuple(torch.randn(N, 8) for _ in range(3))
    with pytest.raises(ValueError, match=r"relation_heads \(3\) must divide the widths, got 8"):
        relations(three, three, 3, BLOCKS)
    two, four = torch.randn(N, 2, 4), torch.randn(N, 4, 2)
    with pytest.raises(ValueError, match="as many heads in the student as in the teacher"):
        attention_mse((two, two), (four, four), BLOCKS)

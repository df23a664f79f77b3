"""Attention for training by the native engine, for every instruction set, by definition."""

import ctypes
from itertools import pairwise

import pytest
import torch
from torch.fx.experimental.proxy_tensor import make_fx

import distilbert as d
from distilbert.modeling import attention, native_attention
from distilbert.native import library

pytestmark = pytest.mark.usefixtures("name")


def draw(lengths, heads, size, first_only=False, dtype=torch.float32):
    """Queries, keys, values, what is multiplied with the result, and where sequences start."""
    torch.manual_seed(0)
    tokens = sum(lengths)
    rows = len(lengths) if first_only else tokens
    tensors = [torch.randn(n, heads, size, dtype=dtype) for n in (rows, tokens, tokens)]
    goal = torch.randn(rows, heads, size, dtype=dtype)
    starts = torch.tensor([0, *lengths]).cumsum(0).int()
    return [x.requires_grad_() for x in tensors], goal, starts


def by_definition(query, key, value, starts, factors=None):
    """Each sequence by itself, in the formula's own words; `factors` are per row, head and key."""
    contexts, first_only = [], len(query) != len(key)
    for number, (start, end) in enumerate(pairwise(starts.tolist())):
        rows = slice(number, number + 1) if first_only else slice(start, end)
        q, k, v = query[rows], key[start:end], value[start:end]
        scores = torch.einsum("qhd,khd->hqk", q, k) / q.shape[-1] ** 0.5
        weights = scores.softmax(-1)
        if factors is not None:
            weights = weights * factors[rows, :, : end - start].transpose(0, 1)
        contexts.append(torch.einsum("hqk,khd->qhd", weights, v))
    return torch.cat(contexts)


def gradients(context, tensors, goal):
    return torch.autograd.grad(context, tensors, goal)


@pytest.mark.parametrize(("heads", "size"), [(2, 32), (3, 64), (1, 20), (2, 8), (2, 33), (1, 1)])
@pytest.mark.parametrize("lengths", [[1], [3, 5, 17, 33], [16, 16, 40, 100], [0, 0, 1, 2, 200]])
def test_contexts_and_gradients(heads, size, lengths):
    tensors, goal, starts = draw(lengths, heads, size)
    context = native_attention.attend(*tensors, starts, 0.0)
    exact = [x.detach().double().requires_grad_() for x in tensors]
    expected = by_definition(*exact, starts)
    torch.testing.assert_close(context.double(), expected, atol=2e-6, rtol=1e-5)
    for found, right in zip(
        gradients(context, tensors, goal), gradients(expected, exact, goal.double()), strict=True
    ):
        torch.testing.assert_close(found.double(), right, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("lengths", [[1], [3, 5, 17, 33], [1, 2, 200]])
@pytest.mark.parametrize("rate", [0.0, 0.4])
def test_queries_of_first_tokens(lengths, rate):
    tensors, goal, starts = draw(lengths, 2, 20, first_only=True)
    torch.manual_seed(1)
    context = native_attention.attend(*tensors, starts, rate, first_only=True)
    torch.manual_seed(1)
    factors = factors_of(lengths, 2, starts, rate, len(goal))
    expected = by_definition(*tensors, starts, factors)
    torch.testing.assert_close(context, expected, atol=2e-6, rtol=1e-5)
    for found, right in zip(
        gradients(context, tensors, goal), gradients(expected, tensors, goal), strict=True
    ):
        torch.testing.assert_close(found, right, atol=1e-5, rtol=1e-5)


def factors_of(lengths, heads, starts, rate, rows):
    """What dropout multiplies weights with: where all weigh the same, values that are unit vectors
    show it."""
    longest = max(lengths)
    query, key = torch.zeros(rows, heads, longest), torch.zeros(sum(lengths), heads, longest)
    units = torch.cat([torch.eye(longest)[:length] for length in lengths])
    value = units[:, None].expand_as(key).contiguous()
    first_only = rows == len(lengths)
    shown = native_attention.attend(query, key, value, starts, rate, first_only)
    queries = [1] * len(lengths) if first_only else lengths
    sizes = torch.tensor(lengths).repeat_interleave(torch.tensor(queries))
    return shown * sizes[:, None, None]


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_dropout(rate):
    lengths = [50, 70, 130]
    tensors, goal, starts = draw(lengths, 2, 16)
    torch.manual_seed(3)
    factors = factors_of(lengths, 2, starts, rate, sum(lengths))
    real = torch.cat([torch.arange(130).expand(n, 130) < n for n in lengths])
    kept = factors[real[:, None].expand_as(factors)]
    assert set(kept.mul(1 - rate).round(decimals=4).tolist()) == {0.0, 1.0}
    chance = (kept == 0).double().mean()
    assert abs(chance - rate) < 4 * (rate * (1 - rate) / len(kept)) ** 0.5
    torch.manual_seed(3)
    context = native_attention.attend(*tensors, starts, rate)
    expected = by_definition(*tensors, starts, factors)
    torch.testing.assert_close(context, expected, atol=1e-5, rtol=1e-4)
    for found, right in zip(
        gradients(context, tensors, goal), gradients(expected, tensors, goal), strict=True
    ):
        torch.testing.assert_close(found, right, atol=1e-4, rtol=1e-4)


def test_everything_dropped():
    tensors, goal, starts = draw([4, 9], 2, 8)
    context = native_attention.attend(*tensors, starts, 1.0)
    assert not context.any()
    assert not any(found.any() for found in gradients(context, tensors, goal))


def test_what_is_dropped_has_no_pattern():
    """Neither rows, heads nor columns agree more often than by chance, nor two draws."""
    lengths, rate = [128, 128], 0.5
    starts = torch.tensor([0, 128, 256]).int()
    torch.manual_seed(0)
    first, second = (factors_of(lengths, 4, starts, rate, 256) > 0 for _ in range(2))

    def agree(a, b):
        noise = 4 * 0.5 / a.numel() ** 0.5
        return abs((a == b).double().mean() - 0.5) < noise

    assert agree(first, second)
    assert agree(first[1:], first[:-1])
    assert agree(first[128:], first[:128])
    assert agree(first[:, 1:], first[:, :-1])
    for lag in (1, 2, 16):
        assert agree(first[..., lag:], first[..., :-lag])
    for axis in (0, 1, 2):  # nothing is dropped more often in one place than in another
        shares = first.double().mean([other for other in range(3) if other != axis])
        count = first.numel() / first.shape[axis]
        assert (shares - 0.5).abs().max() < 5 * 0.5 / count**0.5


def test_the_generator_decides_and_threads_do_not():
    tensors, goal, starts = draw([3, 40, 90], 3, 8)
    found = []
    before = torch.get_num_threads()
    for seed, threads in ((5, 1), (5, 3), (6, 1)):
        torch.set_num_threads(threads)
        torch.manual_seed(seed)
        context = native_attention.attend(*tensors, starts, 0.3)
        found.append([context, *gradients(context, tensors, goal)])
    torch.set_num_threads(before)
    first, same, other = found
    assert all(torch.equal(a, b) for a, b in zip(first, same, strict=True))
    assert not torch.equal(first[0], other[0])


def test_training_a_model_takes_it(monkeypatch, make, feed, right):
    model = make("ForTokenClassification", dropout=0.0, attention_dropout=0.0)
    batch = feed("ForTokenClassification", right(9, 4, 9, 1))
    labels = torch.zeros_like(batch["input_ids"])

    def trained(**changes):
        model.train().zero_grad()
        model(**batch, labels=labels).loss.backward()
        return [p.grad.clone() for p in model.parameters()]

    calls = []
    inner = native_attention.attend
    monkeypatch.setattr(native_attention, "attend", lambda *given: calls.append(1) or inner(*given))
    ours = trained()
    assert len(calls) == 2  # once for each layer
    monkeypatch.setattr(library, "engine", lambda: None)
    for found, expected in zip(ours, trained(), strict=True):
        torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-4)
    assert len(calls) == 2


def test_it_is_for_training(make, feed, right):
    """Answers, also of a model that is prepared for PyTorch's engine, are PyTorch's."""
    model, batch = make(), feed("Model", right(9, 4, 1))
    calls = []
    inner = native_attention.attend
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(native_attention, "attend", lambda *given: calls.append(1) or inner(*given))
        with torch.no_grad():
            model(**batch)
        d.prepare(model, engine="torch")(**batch)
        assert not calls
        model(**batch)  # somebody may ask for gradients
        assert calls


def test_who_looks_on_sees_operators():
    """`torch.func` and whoever records operations get PyTorch's."""
    q = torch.randn(7, 2, 4, requires_grad=True)
    assert native_attention.takes(q)
    taken = []
    torch.func.vmap(lambda x: taken.append(native_attention.takes(q)) or x)(torch.ones(2))
    make_fx(lambda x: taken.append(native_attention.takes(q)) or x)(torch.ones(2))
    assert taken == [False, False]


@pytest.mark.parametrize("batch", [0, 3])
def test_sequences_of_one_length_with_dropout(batch):
    q, k, v = (torch.randn(batch, 2, 6, 8) for _ in range(3))  # (B, H, T, D)
    torch.manual_seed(2)
    context = attention.sdpa(q, k, v, None, 0.25)
    rows = [x.transpose(1, 2).flatten(0, 1) for x in (q, k, v)]
    torch.manual_seed(2)
    starts = torch.arange(batch + 1).int() * 6
    expected = native_attention.attend(*rows, starts, 0.25)
    assert torch.equal(context.transpose(1, 2).flatten(0, 1), expected)


def test_bfloat16():
    tensors, goal, starts = draw([4, 50], 2, 16)
    half = [x.detach().bfloat16().requires_grad_() for x in tensors]
    context = native_attention.attend(*half, starts, 0.0)
    exact = [x.detach().float().requires_grad_() for x in half]
    expected = by_definition(*exact, starts)
    found = gradients(context, half, goal.bfloat16())
    assert {x.dtype for x in (context, *found)} == {torch.bfloat16}
    rights = gradients(expected, exact, goal.bfloat16().float())
    for ours, right in zip((context, *found), (expected, *rights), strict=True):
        torch.testing.assert_close(ours.float(), right, atol=1e-3, rtol=1e-2)


def test_second_derivatives_are_refused():
    tensors, goal, starts = draw([4, 5], 2, 8)
    context = native_attention.attend(*tensors, starts, 0.0)
    with pytest.raises(RuntimeError, match="no second derivatives"):
        torch.autograd.grad(context, tensors[0], goal, create_graph=True)


def test_too_little_memory():
    starts = (ctypes.c_int32 * 2)(0, 1 << 30)
    call = library.Training(
        starts=ctypes.addressof(starts), sequences=1, heads=1, head_size=1 << 20, threads=1
    )
    with pytest.raises(MemoryError, match="not enough memory for attention"):
        native_attention._run(call, back=False)


@pytest.mark.parametrize("head", ["ForSequenceClassification", "ForMultipleChoice"])
@pytest.mark.parametrize("family", ["DistilBert", "Bert"])
def test_no_model_notices(monkeypatch, make, feed, right, family, head):
    """With the engine or without, by the padded path or not: the same results and gradients."""
    dropouts = dict.fromkeys(("dropout", "attention_dropout"), 0.0)
    if family == "DistilBert":
        dropouts["seq_classif_dropout"] = 0.0
    model = make(head, family, **dropouts)
    batch = feed(head, right(9, 4, 9, 1, 12))
    labels = torch.zeros(5, dtype=torch.int64)

    def all_of_it(implementation):
        model.config.attn_implementation = implementation
        model.train().zero_grad()
        output = model(**batch, labels=labels)
        output.loss.backward()
        return [output.logits, *(p.grad.clone() for p in model.parameters() if p.grad is not None)]

    expected = all_of_it("eager")
    for engine in (library.engine(), None):
        monkeypatch.setattr(library, "engine", lambda engine=engine: engine)
        for implementation in ("sdpa", "varlen"):
            for found, right_one in zip(all_of_it(implementation), expected, strict=True):
                torch.testing.assert_close(found, right_one, atol=1e-6, rtol=1e-4)

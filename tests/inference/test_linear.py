"""Each kind of linear layer against PyTorch's, and what it is for."""

import pytest
import torch
import torch.nn.functional as F

from distilbert.inference import linear
from distilbert.inference.linear import (
    Int8Embedding,
    Int8Linear,
    PackedLinear,
    PlainLinear,
    VnniLinear,
)
from distilbert.native import processor

ACTIVATIONS = [None, "gelu", "gelu_new", "gelu_pytorch_tanh", "relu", "silu", "tanh"]
needs_int8 = pytest.mark.skipif(not processor.has_fbgemm(), reason="no FBGEMM")
needs_vnni = pytest.mark.skipif(not processor.has_vnni_linear(), reason="no VNNI, or no oneDNN")
both_int8 = pytest.mark.parametrize(
    "kind",
    [pytest.param(Int8Linear, marks=needs_int8), pytest.param(VnniLinear, marks=needs_vnni)],
)
needs_packing = pytest.mark.skipif(not processor.packs(torch.float32), reason="no oneDNN")


def weights(outputs=24, inputs=40, seed=0):
    draw = torch.Generator().manual_seed(seed)
    return (
        torch.randn(outputs, inputs, generator=draw) * 0.1,
        torch.randn(outputs, generator=draw),
        torch.randn(7, inputs, generator=draw),
        torch.randn(7, outputs, generator=draw),
    )


def distance(found, expected):
    return ((found - expected).norm() / expected.norm()).item()


@needs_packing
@pytest.mark.parametrize("fuses", [False, True])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_packed_equals_plain(activation, fuses, monkeypatch):
    monkeypatch.setattr(processor, "has_avx512", lambda: fuses)
    weight, bias, x, residual = weights()
    plain = PlainLinear(weight, bias, activation, torch.float32)
    packed = PackedLinear(weight, bias, activation, torch.float32)
    for rest in ((), (residual,)):
        torch.testing.assert_close(packed(x, *rest), plain(x, *rest), atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(packed(x[None]), plain(x)[None], atol=1e-6, rtol=1e-5)
    assert packed(x[:0]).shape == (0, 24)


def test_plain_is_pytorch_s():
    weight, bias, x, residual = weights()
    plain = PlainLinear(weight, bias, "gelu", torch.float32)
    torch.testing.assert_close(plain(x, residual), F.gelu(F.linear(x, weight, bias)) + residual)
    assert PlainLinear(weight, bias, None, torch.bfloat16)(x).dtype == torch.bfloat16


@both_int8
@pytest.mark.parametrize("inputs", [40, 41, 43])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_int8_is_close(kind, activation, inputs):
    weight, bias, x, residual = weights(inputs=inputs)
    plain = PlainLinear(weight, bias, activation, torch.float32)
    int8 = kind(weight, bias, activation)
    assert distance(int8(x), plain(x)) < 0.02
    assert distance(int8(x, residual), plain(x, residual)) < 0.02
    assert distance(int8(x[None])[0], int8(x)) == 0
    assert distance(int8(x[:1]), int8(x)[:1]) < 1e-6
    assert int8(x[:0]).shape == (0, 24)


@both_int8
def test_a_row_of_int8_does_not_depend_on_its_neighbours(kind):
    weight, bias, x, _ = weights()
    int8 = kind(weight, bias, None)
    alone = int8(x[:1])
    x[1:] *= 1e6
    x[2] = 0
    together = int8(x)
    torch.testing.assert_close(together[:1], alone, atol=0, rtol=0)
    torch.testing.assert_close(together[2], bias, atol=0, rtol=0)


@needs_int8
@pytest.mark.parametrize("has_vnni", [False, True])
def test_int8_is_exact_integer_arithmetic(has_vnni, monkeypatch):
    """Where it could saturate, the weights are small enough that it does not."""
    if has_vnni and not processor.has_vnni():
        pytest.skip("without VNNI 8-bit weights saturate")
    monkeypatch.setattr(processor, "has_vnni", lambda: has_vnni)
    top = 127 if has_vnni else 63
    weight = torch.full((4, 64), 0.5)
    weight[1] *= -1
    weight[2, ::2] *= -1
    x = torch.ones(3, 64)
    x[1] *= -3
    x[2, ::2] = -1
    int8 = Int8Linear(weight, torch.zeros(4), None)
    torch.testing.assert_close(int8(x), x @ weight.t(), atol=1e-4, rtol=1e-4)
    draw = torch.Generator().manual_seed(0)
    weight, x = torch.randn(8, 96, generator=draw), torch.randn(5, 96, generator=draw)
    x[:, 0], weight[:, 0] = 5.0, 5.0  # the largest of each row
    rounded = (weight * (top / 5.0)).round() @ (x * (127 / 5.0)).round().t()
    expected = rounded.t() * (5.0 / top) * (5.0 / 127)
    assert distance(Int8Linear(weight, torch.zeros(8), None)(x), expected) < 1e-5


@needs_vnni
def test_vnni_is_exact_integer_arithmetic():
    draw = torch.Generator().manual_seed(0)
    weight, x = torch.randn(8, 96, generator=draw), torch.randn(5, 96, generator=draw)
    weight[:, 0] = 5.0  # the largest of each row
    x[:, 0], x[:, 1] = -4.0, 6.2
    step = 10.2 / 255
    rounded = ((x + 4) / step).round() * step - 4
    expected = rounded @ ((weight * (127 / 5.0)).round() * (5.0 / 127)).t()
    assert distance(VnniLinear(weight, torch.zeros(8), None)(x), expected) < 1e-5


@both_int8
def test_weights_of_any_layout(kind):
    weight, bias, x, _ = weights()
    transposed = weight.t().contiguous().t()
    torch.testing.assert_close(kind(transposed, bias, None)(x), kind(weight, bias, None)(x))


@needs_vnni
def test_vnni_is_finer_where_values_are_of_one_sign():
    """As after GELU: nothing is kept free for negative values that do not come."""
    weight, bias, x, _ = weights(64, 64)
    x = F.gelu(3 * x)
    expected = F.linear(x, weight, bias)
    errors = [distance(kind(weight, bias, None)(x), expected) for kind in (VnniLinear, Int8Linear)]
    assert errors[0] < errors[1]


@both_int8
def test_nan_stays_nan(kind):
    """A row that is nan as a whole: of a single nan too little is left, `prepare` sees to those."""
    weight, bias, x, _ = weights()
    x[1] = torch.nan
    found = kind(weight, bias, None)(x)
    assert found[1].isnan().all()
    assert not found[0].isnan().any()


@pytest.mark.parametrize("width", [16, 15])
def test_tables_in_8_bits(width):
    table = torch.randn(9, width, generator=torch.Generator().manual_seed(0))
    table[4] = 0
    ids = torch.tensor([[0, 4], [8, 8]])
    found = Int8Embedding(table)(ids)
    assert found.dtype == torch.float32
    assert distance(found, table[ids]) < 0.01
    torch.testing.assert_close(found[0, 1], table[4])
    torch.testing.assert_close(Int8Embedding(table)(ids[:1, 1:]), found[:1, 1:])
    for dtype, most in ((torch.bfloat16, 0.004), (torch.float16, 0.0005)):
        assert distance(linear.HalfEmbedding(table, dtype)(ids), table[ids]) < most

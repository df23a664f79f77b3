"""Embeddings and padding by the engine, for every instruction set, against PyTorch."""

import copy

import pytest
import torch

import distilbert as d
from distilbert.inference.linear import Int8Embedding
from distilbert.inference.native_embedding import NativeEmbeddings
from distilbert.modeling.unpadding import Unpadding
from distilbert.native import library, padding, threads

pytestmark = pytest.mark.usefixtures("name")


def embeddings(make, dim, family="Bert", int8=False):
    inner = copy.deepcopy(make(family=family, dim=dim, n_heads=1).embeddings)
    if int8:
        inner.word_embeddings = Int8Embedding(inner.word_embeddings.weight)
    return inner


def numbers(*shape, limit=40):
    return torch.randint(0, limit, shape, generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize("dim", [1, 5, 16, 33, 96])
@pytest.mark.parametrize("shape", [(1,), (7,), (3, 5), (0,), (0, 4), (900,)])
@pytest.mark.parametrize("int8", [False, True])
@pytest.mark.parametrize("family", ["Bert", "DistilBert"])
def test_equal(make, family, dim, shape, int8):
    inner = embeddings(make, dim, family, int8)
    native = NativeEmbeddings(inner)
    kinds = [None] if family == "DistilBert" else [None, numbers(*shape, limit=2)]
    for types in kinds:
        for positions in (numbers(*shape), numbers(1).expand(shape)):
            found = native(numbers(*shape), None, positions, types)
            expected = inner(numbers(*shape), None, positions, types)
            torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_integers_of_32_bits_and_given_embeddings(make):
    inner = embeddings(make, 16)
    native = NativeEmbeddings(inner)
    ids, places = numbers(2, 5), numbers(2, 5)
    expected = native(ids, None, places, None)
    assert torch.equal(native(ids.int(), None, places.int(), None), expected)
    given = inner.word_embeddings(ids)
    torch.testing.assert_close(native(None, given, places, None), expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(native(ids), inner(ids))  # positions from 0


def test_threads_change_nothing(make):
    native = NativeEmbeddings(embeddings(make, 96))
    before = torch.get_num_threads()
    found = []
    for count in (1, 3):
        torch.set_num_threads(count)
        found.append(native(numbers(900), None, numbers(900), numbers(900, limit=2)))
    torch.set_num_threads(before)
    assert torch.equal(*found)


def own_word_table(inner):
    class Louder(torch.nn.Embedding):
        def forward(self, ids):
            return 2 * super().forward(ids)

    inner.word_embeddings.__class__ = Louder


def transposed(inner):
    inner.word_embeddings.weight.data = inner.word_embeddings.weight.data.t().contiguous().t()


def without_bias(inner):
    inner.LayerNorm = torch.nn.LayerNorm(32, bias=False)


def hooked(inner):
    inner.LayerNorm.register_forward_hook(lambda module, given, found: 2 * found)


def own_class(inner):
    class Twice(type(inner)):
        def forward(self, *given):
            return 2 * super().forward(*given)

    inner.__class__ = Twice


def adapter(inner):
    inner.dropout = torch.nn.Linear(32, 32)


CHANGES = [own_word_table, transposed, without_bias, hooked, own_class, adapter]


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("family", ["Bert", "DistilBert"])
def test_what_somebody_changed_is_computed_by_pytorch(make, feed, right, family, change):
    model, batch = make(family=family), feed("Model", right(9, 4))
    change(model.embeddings)
    assert not NativeEmbeddings.fits(model.embeddings)
    found, expected = d.prepare(model)(**batch)[0], model(**batch)[0]
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_ids_elsewhere_are_pytorchs(make):
    native = NativeEmbeddings(embeddings(make, 16))
    ids = torch.zeros(3, dtype=torch.int64, device="meta")
    assert native(ids, None, torch.arange(3), None).shape == (3, 16)  # not a crash
    with torch.device("meta"):
        made = native(torch.arange(3, device="cpu"), None, torch.arange(3, device="cpu"), None)
    assert made.device.type == "cpu"


@pytest.mark.parametrize("wrong", [-1, 60])
def test_ids_that_do_not_exist(make, wrong):
    fast = d.prepare(make())
    ids = torch.tensor([[2, 7, wrong, 3]])
    with pytest.raises(IndexError, match=f"input_ids holds {wrong}; the model knows 0 to 59"):
        fast(ids)
    with pytest.raises(IndexError, match="position_ids holds 40"):
        fast(ids.clamp(0, 59), position_ids=torch.tensor([[0, 1, 2, 40]]))


@pytest.mark.parametrize("inside", [(), (5,), (2, 3)])
@pytest.mark.parametrize("lengths", [[3, 0, 7, 7], [1], [40] * 90 + [1]])
def test_padding(monkeypatch, inside, lengths):
    layout = Unpadding.from_lengths(lengths, max(lengths), torch.device("cpu"))
    x = torch.randn(sum(lengths), *inside)
    expected = layout.pad(x, -2.5)
    calls = []
    inner = padding.pad
    monkeypatch.setattr(padding, "pad", lambda *given: calls.append(1) or inner(*given))
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    with threads.alone():
        found = layout.pad(x, -2.5)
        other = layout.pad(x.double(), -2.5)
    torch.set_num_threads(before)
    if threads._openmp() is not None:
        assert calls == [1]  # the other is not float32
    assert torch.equal(found, expected)
    assert torch.equal(other, expected.double())


def test_too_little_memory():
    call = library.Padding(rows=1 << 60, threads=1)
    assert library.engine().distilbert_pad(call) == 1

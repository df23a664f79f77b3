"""The engine in C++, for every instruction set that this processor has, against PyTorch."""

import contextlib
import multiprocessing
import os
from concurrent.futures import ThreadPoolExecutor
from threading import Event, Thread

import pytest
import torch
import torch.nn.functional as F

import distilbert as d
from distilbert.inference import native_stack as stack
from distilbert.inference.native_linear import NativeLinear
from distilbert.modeling.model import ACTIVATION_FUNCTIONS
from distilbert.native import library, threads

KINDS = ["native", "int8"]
IN_16_BITS = ("avx512", "avx2")  # they add up four 8-bit products in 16 bits before they do in 32


def scales(name, weight):
    """What a weight of 1 becomes in 8 bits, 1 / scale, for each row of (O, I)."""
    if name not in IN_16_BITS:
        return 127 / weight.abs().amax(1)
    eights = F.pad(weight, (0, -weight.shape[1] % 8)).unflatten(1, (-1, 2, 2, 2))
    sums = torch.stack([eights.clamp(min=0), (-eights).clamp(min=0)]).sum((3, 5))
    return 126 / sums.amax((0, 2, 3))


@pytest.fixture
def with_threads():
    """Call a function with a number of threads."""
    before = torch.get_num_threads()

    def call(count, function, *args, **kwargs):
        torch.set_num_threads(count)
        return function(*args, **kwargs)

    yield call
    torch.set_num_threads(before)


def same(found, expected):
    """Whether every bit is."""
    return torch.equal(found.view(torch.int32), expected.view(torch.int32))


def draws(seed=0):
    draw = torch.Generator().manual_seed(seed)
    return lambda low, high, *shape: torch.randint(low, high + 1, shape, generator=draw)


# Linear layers


@pytest.mark.parametrize("activation", library.ACTIVATIONS)
def test_activations(name, activation):
    x = torch.linspace(-30, 30, 33 * 401).view(401, 33)
    layer = NativeLinear(torch.eye(33), torch.zeros(33), activation, "native")
    exact = x.double() if activation is None else ACTIVATION_FUNCTIONS[activation](x.double())
    assert ((layer(x) - exact).abs() / x.abs().clamp(min=1)).max() < 1e-6


@pytest.mark.parametrize("activation", library.ACTIVATIONS)
def test_activations_of_what_is_no_usual_number(name, activation):
    layer = NativeLinear(torch.eye(2), torch.zeros(2), activation, "native")
    x = torch.tensor([[1e30, -1e30], [3e38, -3e38], [1e-40, -0.0], [torch.nan, 1.0]])
    found = layer(x[:, :1].expand(-1, 2)), layer(x[:, 1:].expand(-1, 2))
    found = torch.stack([found[0][:, 0], found[1][:, 0]], 1)
    exact = x if activation is None else ACTIVATION_FUNCTIONS[activation](x.double()).float()
    assert torch.equal(found.isnan(), x.isnan())
    error = (found - exact).abs() / x.abs().clamp(min=1)
    assert error.nan_to_num().max() < 1e-6


@pytest.mark.parametrize("activation", library.ACTIVATIONS)
def test_every_nan_stays_one(name, activation):
    nans = torch.arange(512, dtype=torch.int32) + 0x7FC00000
    layer = NativeLinear(torch.eye(1), torch.zeros(1), activation, "native")
    assert layer(nans.view(torch.float32)[:, None]).isnan().all()


def odd_sizes():
    """Yield rows, inputs and outputs; the last ones are enough for several threads and parts."""
    draw = draws()
    for _ in range(40):
        yield draw(1, 30).item(), draw(1, 70).item(), draw(1, 70).item()
    yield from [(7, 1031, 5), (23, 2501, 33), (1, 1031, 1033), (97, 301, 45), (211, 90, 71)]


def test_float32_of_odd_sizes(name, with_threads):
    for rows, inputs, outputs in odd_sizes():
        x, weight, bias = (torch.randn(s) for s in ((rows, inputs), (outputs, inputs), (outputs,)))
        weight /= inputs**0.5
        layer = NativeLinear(weight, bias, "relu", "native")
        exact = F.linear(x.double(), weight.double(), bias.double()).relu()
        found = with_threads(1, layer, x)
        torch.testing.assert_close(found.double(), exact, atol=1e-5, rtol=1e-5)
        for count in (2, 3, 5):
            assert same(with_threads(count, layer, x), found)
        assert same(layer(x[-1:]), found[-1:])  # without the rows beside it


def test_int8_of_odd_sizes_is_exact_where_8_bits_are_enough(name, with_threads):
    """Steps and scales are 1 here; half of the time the largest integers meet each other."""
    draw, most = draws(), 31 if name in IN_16_BITS else 127
    for turn, (rows, inputs, outputs) in enumerate(odd_sizes()):
        x, weight = draw(0, 255, rows, inputs), draw(-most, most, outputs, inputs)
        if turn % 2 and inputs < 100:  # float32 has no larger integers
            x, weight = x // 128 * 255, weight.sign() * most
            x[:, inputs // 2 :], weight[0] = 255, most
        x[:, 0], x[:, -1], weight[:, -1] = 0, 255, most
        if name in IN_16_BITS:  # what is added up with the last is 126 together
            weight[:, -1] = 126
            weight[:, (inputs - 1) // 8 * 8 : -1] = -weight[:, (inputs - 1) // 8 * 8 : -1].abs()
        x, weight = (x - draw(0, 255, rows, 1)).float(), weight.float()
        assert (scales(name, weight) == 1).all()
        bias = draw(-9, 9, outputs).float()
        layer = NativeLinear(weight, bias, None, "int8")
        found = with_threads(1, layer, x)
        assert torch.equal(found.double(), F.linear(x.double(), weight.double(), bias.double()))
        for count in (2, 3, 5):
            assert same(with_threads(count, layer, x), found)


@pytest.mark.parametrize("sign", [1, -1])
def test_the_largest_sums_in_8_bits(name, sign):
    """All weights and inputs at their largest: rounded up, they just fit 16 bits."""
    weight, x = torch.full((3, 64), 1.0001 * sign), torch.full((2, 64), 255.0)
    x[:, ::9] = 0
    found = NativeLinear(weight, torch.zeros(3), None, "int8")(x)
    assert (found / F.linear(x, weight) - 1).abs().max() < 0.02


def test_int8_is_as_close_as_8_bits_can_be(name):
    x, weight, bias = torch.randn(50, 67), torch.randn(35, 67), torch.randn(35)
    found = NativeLinear(weight, bias, None, "int8")(x)
    step = (x.amax(1) - x.amin(1)) / 255
    scale = 1 / scales(name, weight)
    most = torch.outer(step / 2, weight.abs().sum(1)) + torch.outer(x.abs().sum(1), scale / 2)
    difference = (found - F.linear(x, weight, bias)).abs()
    assert (difference < most + 67 * torch.outer(step, scale)).all()
    assert difference.norm() < 0.2 * most.norm()  # errors cancel each other


@pytest.mark.parametrize("kind", KINDS)
def test_rows_unlike_others(name, kind):
    draw = draws()
    weight, bias = draw(-31, 31, 19, 37).float(), torch.randn(19)
    weight[:, 0] = 127
    if name in IN_16_BITS:
        weight[:, 0], weight[:, 1:6] = 126, 0
    assert (scales(name, weight) == 1).all()
    layer = NativeLinear(weight, bias, None, kind)
    rows = torch.randn(6, 37)
    rows[0], rows[1], rows[2] = 0, 2.5, 1e30
    rows[3, 5], rows[4] = torch.nan, torch.nan
    found = layer(rows)
    assert torch.equal(found[0], bias)
    exact = F.linear(rows.double(), weight.double(), bias.double()).float()
    torch.testing.assert_close(found[1:3], exact[1:3], rtol=1e-5, atol=1e-3)
    assert found[4 if kind == "int8" else 3].isnan().all()
    assert same(found[5:], layer(rows[5:]))
    assert layer(rows[:0]).shape == (0, 19)
    assert layer(rows[:, None]).shape == (6, 1, 19)
    assert same(layer(rows, residual=torch.ones(6, 19))[5], found[5] + 1)


def test_too_little_memory(name):
    layer = NativeLinear(torch.randn(3, 4), torch.randn(3), None, "int8").structure
    assert library.engine().distilbert_linear(layer, 0, 1 << 55, 0, 1) == 1
    starts = (library.c_int64 * 2)(0, tokens := 1 << 45)
    empty = library.Stack(0, 4, None)
    for count in (1, 2):
        call = library.Call(
            stack=library.POINTER(library.Stack)(empty),
            starts=library.ctypes.addressof(starts),
            sequences=1,
            slice_tokens=tokens,
            threads=count,
        )
        assert library.engine().distilbert_forward(call) == 1


# Whole models

LENGTHS = {
    "a token": [1],
    "few": [5, 0, 17, 3],  # all threads on one slice, which share columns
    "many": [40, 3, 0, 25, 31, 40, 22, 1, 38, 40, 36, 29],  # slices
    "one long": [300],  # all threads on one slice, which share rows
}


def holes(lengths):
    """(B, T): as many real tokens as each length says, in places drawn by chance."""
    mask = torch.zeros(len(lengths), max(lengths) + 3, dtype=torch.long)
    for row, length in zip(mask, lengths, strict=True):
        row[torch.randperm(len(row))[:length]] = 1
    return mask


@pytest.fixture
def model(make):
    """Make a model of widths that are no multiples of anything."""

    def made(head, **fields):
        sizes = {"dim": 39, "n_heads": 3, "hidden_dim": 53, "max_position_embeddings": 1200}
        return make(head, **sizes | fields)

    return made


@pytest.mark.parametrize("lengths", LENGTHS)
@pytest.mark.parametrize("head", ["Model", "ForSequenceClassification"])
@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_models_on_any_number_of_threads(
    name, model, feed, with_threads, monkeypatch, precision, head, lengths
):
    monkeypatch.setattr(stack, "SLICE_TOKENS", 50)
    theirs = model(head)
    ours = d.prepare(theirs, precision, engine="native")
    inputs = feed(head, holes(LENGTHS[lengths]))
    found = with_threads(1, ours, **inputs)[0]
    expected = theirs(**inputs)[0].detach()
    if precision == "fp32":
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    else:
        assert (found - expected).norm() / expected.norm() < 0.2  # of few logits
    for count in (2, 3, 5):
        assert same(with_threads(count, ours, **inputs)[0], found)


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_masks_per_query_on_any_number_of_threads(
    name, model, feed, with_threads, monkeypatch, precision
):
    monkeypatch.setattr(stack, "SLICE_TOKENS", 50)
    ours = d.prepare(theirs := model("Model"), precision, engine="native")
    inputs = feed("Model", torch.ones(7, 43, dtype=torch.long))
    inputs["attention_mask"] = torch.rand(7, 1, 43, 43) < 0.5
    inputs["attention_mask"][2, 0, 5] = False
    inputs["output_hidden_states"] = True
    found = with_threads(1, ours, **inputs)
    if precision == "fp32":
        for state, expected in zip(
            found.hidden_states, theirs(**inputs).hidden_states, strict=True
        ):
            torch.testing.assert_close(state, expected.detach(), atol=1e-5, rtol=1e-5)
    for count in (2, 5):
        again = with_threads(count, ours, **inputs)
        assert all(map(same, again.hidden_states, found.hidden_states))
    inputs["attention_mask"] = torch.ones(7, 2, 43, 43)  # of 2 heads, where there are 3
    with pytest.raises(ValueError, match="1 or 3, 43, 43"):
        ours(**inputs)


@pytest.mark.parametrize("head", ["Model", "ForSequenceClassification"])
@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_no_bit_depends_on_the_other_texts(name, model, feed, right, with_threads, head, precision):
    lengths = [33, 7, 40, 1, 26, 40, 38, 12]
    ours = d.prepare(model(head), precision, engine="native")
    inputs = feed(head, right(*lengths))
    together = with_threads(2, ours, **inputs)[0]
    for row, length in enumerate(lengths):
        alone = ours(inputs["input_ids"][row : row + 1, :length])[0][0]
        assert same(together[row, :length] if head == "Model" else together[row], alone)


def test_sequences_far_longer_than_512(name, model, feed, right):
    ours = d.prepare(theirs := model("Model", n_layers=1), engine="native")
    inputs = feed("Model", right(1150, 640))
    found, expected = ours(**inputs)[0], theirs(**inputs)[0].detach()
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


# Threads and processes


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_eight_callers_at_once(best, model, feed, right, with_threads, precision):
    ours = d.prepare(model("Model"), precision, engine="native")
    batches = [feed("Model", right(*range(1, 4 + 3 * i)), seed=i) for i in range(8)]
    expected = [with_threads(3, ours, **batch)[0] for batch in batches]
    with ThreadPoolExecutor(8) as pool:
        for _ in range(5):
            found = list(pool.map(lambda batch: ours(**batch)[0], batches))
            assert all(map(same, found, expected))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
def test_a_fork_has_threads_of_its_own(best, model, feed, right, with_threads):
    """It is made while another thread is at work, so that the pool is in use."""
    ours = d.prepare(model("Model"), engine="native")
    inputs = feed("Model", right(30, 40))
    expected = with_threads(3, ours, **inputs)[0]
    layer = NativeLinear(torch.randn(90, 90), torch.randn(90), None, "native")
    x, y, ended = torch.randn(400, 90), torch.empty(400, 90), Event()

    def work():
        while not ended.is_set():
            library.engine().distilbert_linear(layer.structure, x.data_ptr(), 400, y.data_ptr(), 3)

    def child():
        os._exit(0 if same(ours(**inputs)[0], expected) else 3)

    (worker := Thread(target=work)).start()
    try:
        for _ in range(3):
            process = multiprocessing.get_context("fork").Process(target=child)
            process.start()
            process.join(60)
            process.kill()
            process.join()
            assert process.exitcode == 0
    finally:
        ended.set()
        worker.join()
    assert same(ours(**inputs)[0], expected)


@pytest.mark.parametrize("has_openmp", [True, False])
def test_alone_leaves_pytorch_s_threads_as_they_were(with_threads, monkeypatch, has_openmp):
    if not has_openmp:
        monkeypatch.setattr(threads, "_openmp", lambda: None)
    elif threads._openmp() is None:
        pytest.skip("PyTorch's threads are not OpenMP's")

    def inside():
        return torch.get_num_threads(), threads.count()

    for count in (4, 1):
        outside = with_threads(count, inside)
        assert outside == (count, count)
        wanted = (1, count) if has_openmp else outside
        with threads.alone():
            assert inside() == wanted
            with threads.alone():
                assert inside() == wanted
            assert inside() == wanted
            with ThreadPoolExecutor(1) as pool:  # others are not alone
                assert pool.submit(inside).result() == outside
        assert inside() == outside
        with contextlib.suppress(KeyError), threads.alone():
            raise KeyError
        assert inside() == outside


@pytest.mark.filterwarnings("ignore:`torch.jit", "ignore::torch.jit.TracerWarning")
def test_what_does_not_see_the_engine_is_refused(best, make):
    ours, ids = d.prepare(make("Model"), engine="native"), torch.tensor([[2, 7, 9, 3]])

    def encode(ids):
        return ours(ids, return_dict=False)[0]

    with pytest.raises(ValueError, match="neither traced nor exported"):
        torch.jit.trace(encode, (ids,))
    with pytest.raises(ValueError, match=r"torch\.func does not see"):
        torch.func.vmap(encode)(ids[:, None])


@pytest.mark.filterwarnings("ignore:Dynamo detected a call to a `functools.lru_cache`")
def test_a_compiled_function_may_call_a_prepared_model(best, make):
    ours, ids = d.prepare(make("Model"), engine="native"), torch.tensor([[2, 7, 9, 3]])
    torch._dynamo.reset()
    compiled = torch.compile(lambda ids: ours(ids)[0] + 1, backend="eager")
    for each in (ids, ids.flip(1)):
        torch.testing.assert_close(compiled(each), ours(each)[0] + 1)

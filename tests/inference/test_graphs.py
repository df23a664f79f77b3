"""Recorded blocks against the same blocks one by one; on a CPU a recording computes again."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from itertools import pairwise

import pytest
import torch

import distilbert as d
from distilbert.inference import graphs, preparing
from distilbert.modeling import attention
from distilbert.native import library

from .conftest import HEADS, LONGEST

ON_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
BATCHES = ([5], [5], [1], [9, 4, 9], [9, 3, 1, 8], [7] * 3, [9, 4, 8], [LONGEST] * 9, [7] * 3)


class Repeating:
    """In the place of `graphs.Recorder`: what it recorded is computed again."""

    def __init__(self, device):
        self.sizes, self.lock = 0, threading.Lock()

    def can(self, x):
        return True

    @contextmanager
    def turn(self):
        with self.lock:
            yield

    def record(self, compute):
        self.sizes += 1
        result = compute()
        return lambda: result.copy_(compute()), result


def of_sequences(query, key, value, starts, longest, dropout=0.0, first_only=False):
    """Attention in each sequence by itself; what is in none stays undefined."""
    context = torch.full_like(query, torch.nan)
    for number, (start, end) in enumerate(pairwise(starts.tolist())):
        assert end - start <= longest
        asking = slice(number, number + 1) if first_only else slice(start, end)
        q, k, v = (x.transpose(0, 1) for x in (query[asking], key[start:end], value[start:end]))
        if end > start:
            context[asking] = attention.sdpa(q, k, v, None, dropout).transpose(0, 1)
    return context


@pytest.fixture
def prepare(monkeypatch):
    """Prepare with recordings on a CPU."""
    monkeypatch.setattr(library, "engine", lambda: None)
    monkeypatch.setattr(attention, "flash", of_sequences)
    monkeypatch.setattr(graphs, "Recorder", Repeating)
    kind = partial(graphs.GraphedTransformer, device=torch.device("cpu"))
    monkeypatch.setattr(preparing, "_kind_of_stack", lambda model, make: kind)
    return d.prepare


def stack_of(prepared):
    return prepared._network.base_model.transformer


def assert_equal(found, expected):
    assert list(found) == list(expected)
    for name in expected:
        torch.testing.assert_close(found[name], expected[name].detach(), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("family", ["DistilBert", "Bert"])
def test_equal_to_the_model(prepare, make, feed, right, family, head):
    model = make(head, family)
    prepared = prepare(model)
    for seed, lengths in enumerate(2 * BATCHES):
        inputs = feed(head, right(*lengths), seed)
        assert_equal(prepared(**inputs), model(**inputs))
    assert stack_of(prepared)._recorder.sizes == len(stack_of(prepared)._recordings) > 2


def test_a_size_is_recorded_when_it_comes_again(prepare, make, feed, right):
    prepared = prepare(make())
    counts = []
    for lengths in ([5], [5], [6], [9, 9], [9, 9], [40] * 300, [40] * 300):
        prepared(**feed("Model", right(*lengths)))
        counts.append(stack_of(prepared)._recorder.sizes)
    assert counts == [0, 1, 1, 1, 2, 2, 2]


def test_whole_batches_waste_nothing():
    assert graphs.Size.of([512] * 8, first_only=False) == graphs.Size(4096, 8, 512, False)
    assert graphs.Size.of([512] * 8, first_only=True) == graphs.Size(4096, 8, 512, True)
    # Three sequences are computed as four, and the empty one has a first token too.
    assert graphs.Size.of([64, 32, 32], first_only=False) == graphs.Size(128, 4, 64, False)
    assert graphs.Size.of([64, 32, 32], first_only=True) == graphs.Size(160, 4, 64, True)


@pytest.mark.parametrize("head", ["Model", "ForSequenceClassification"])
@pytest.mark.parametrize("lengths", [(8, 8), (9, 4, 3), (15, 1), (1,) * 16, (1,) * 15])
def test_all_rows_of_a_recording_may_be_taken(prepare, make, feed, right, head, lengths):
    model = make(head)
    prepared = prepare(model)
    for seed in range(3):
        inputs = feed(head, right(*lengths), seed)
        assert_equal(prepared(**inputs), model(**inputs))
    assert stack_of(prepared)._recorder.sizes == 1


def test_there_is_an_end_to_recording(prepare, make, feed, right, monkeypatch):
    monkeypatch.setattr(graphs, "MOST_RECORDINGS", 2)
    model = make()
    prepared = prepare(model)
    for count in (1, 2, 4, 8):
        inputs = feed("Model", right(*[7] * count))
        for _ in range(3):
            assert_equal(prepared(**inputs), model(**inputs))
    assert stack_of(prepared)._recorder.sizes == 2


def test_calls_go_on_where_nothing_can_be_recorded(prepare, make, feed, right, monkeypatch, caplog):
    def refuse(self, compute):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(Repeating, "record", refuse)
    model = make()
    prepared, inputs = prepare(model), feed("Model", right(7, 3))
    with caplog.at_level("WARNING", "distilbert"):
        for _ in range(4):
            assert_equal(prepared(**inputs), model(**inputs))
    [warning] = caplog.messages
    assert warning == "no more CUDA graphs, calls will take longer: CUDA out of memory"


def test_what_a_recording_does_not_give(prepare, make, feed, right):
    model = make()
    prepared = prepare(model)
    causal = torch.ones(2, 7, 7).tril()
    for mask, options in ((right(7, 7), {"output_hidden_states": True}), (causal, {})):
        inputs = feed("Model", right(7, 7)) | {"attention_mask": mask} | options
        for _ in range(3):
            found, expected = prepared(**inputs), model(**inputs)
            torch.testing.assert_close(found[0], expected[0].detach(), atol=1e-5, rtol=1e-5)
            assert len(found) == len(expected)
    assert stack_of(prepared)._recorder.sizes == 0


def test_in_and_outside_of_inference_mode(prepare, make, feed, right):
    model = make()
    prepared, inputs = prepare(model), feed("Model", right(6, 2))
    for _ in range(2):
        with torch.inference_mode():
            prepared(**inputs)
    assert_equal(prepared(**inputs), model(**inputs))


def test_answers_are_not_written_over(prepare, make, feed, right):
    prepared = prepare(make())
    first, second = (feed("Model", right(6, 6), seed) for seed in (0, 1))
    answers = [prepared(**inputs)[0] for inputs in (first, first, second, first)]
    assert torch.equal(answers[1], answers[3])
    assert not torch.allclose(answers[1], answers[2])


def test_from_several_threads(prepare, make, feed, right):
    model = make("ForSequenceClassification")
    prepared = prepare(model)
    inputs = [feed("ForSequenceClassification", right(9, 1 + seed % 9), seed) for seed in range(40)]
    with ThreadPoolExecutor(8) as pool:
        for found, given in zip(pool.map(lambda x: prepared(**x), inputs), inputs, strict=True):
            assert_equal(found, model(**given))


@pytest.mark.parametrize(
    ("number", "lowest", "steps", "size"),
    [(1, 1, 1, 1), (2, 1, 1, 2), (3, 1, 1, 4), (65, 64, 1, 128), (1, 16, 4, 16), (17, 16, 4, 20),
     (32, 16, 4, 32), (33, 16, 4, 40), (1025, 16, 4, 1280), (8192, 16, 4, 8192)],
)  # fmt: skip
def test_sizes(number, lowest, steps, size):
    assert graphs._up(number, lowest, steps) == size


def test_sizes_hold_what_they_are_for():
    for number in range(1, 9000):
        size = graphs._up(number, 16, 4)
        assert number <= size <= max(16, number * 1.25)
        assert graphs._up(size, 16, 4) == size


@pytest.mark.gpu
@ON_GPU
@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize(
    ("family", "precision"), [("DistilBert", "bf16"), ("DistilBert", "fp16"), ("Bert", "bf16")]
)
def test_on_a_gpu(make, feed, right, family, head, precision):
    model = make(head, family, dim=64).cuda()
    prepared = d.prepare(model, precision)
    found, expected = [], []
    for seed, lengths in enumerate(3 * BATCHES):
        inputs = {k: v.cuda() for k, v in feed(head, right(*lengths), seed).items()}
        exact = next(iter(model(**inputs).values()))
        real = exact > torch.finfo(torch.float32).min
        expected.append(exact[real])
        found.append(next(iter(prepared(**inputs).values()))[real])
    found, expected = torch.cat(found), torch.cat(expected)
    assert (found - expected).norm() < 0.05 * expected.norm()
    assert len(stack_of(prepared)._recordings) > 2


def on_gpu(feed, right, lengths, seed=0):
    return {
        k: v.cuda() for k, v in feed("ForSequenceClassification", right(*lengths), seed).items()
    }


@pytest.mark.gpu
@ON_GPU
def test_on_a_gpu_from_several_threads_and_streams(make, feed, right):
    model = make("ForSequenceClassification", dim=64).cuda()
    prepared, other = d.prepare(model, "bf16"), d.prepare(model, "bf16")
    batches = [on_gpu(feed, right, (9, n), n) for n in (1, 4, 9)] * 20
    alone = [other(**given).logits for given in batches]

    def answer(given):
        with torch.cuda.stream(torch.cuda.Stream()):
            logits = prepared(**given).logits  # recorded by some of these threads
            torch.cuda.current_stream().synchronize()
            return logits

    torch.cuda.synchronize()
    with ThreadPoolExecutor(8) as pool:
        for found, expected in zip(pool.map(answer, batches), alone, strict=True):
            torch.testing.assert_close(found, expected, atol=0.02, rtol=0.02)
    assert len(stack_of(prepared)._recordings) == 2


@pytest.mark.gpu
@ON_GPU
def test_on_a_gpu_after_a_recording_that_failed(make, feed, right, monkeypatch, caplog):
    model = make("ForSequenceClassification", dim=64).cuda()
    prepared = d.prepare(model, "bf16")
    known, new = on_gpu(feed, right, (9, 4)), on_gpu(feed, right, (9, 4, 9, 9, 9))
    expected = [prepared(**known).logits for _ in range(3)][-1]
    stream, attend, calls = torch.cuda.current_stream(), graphs.Room.attend, []

    def failing(self, *given):
        calls.append(None)
        if torch.cuda.is_current_stream_capturing():
            raise RuntimeError("on purpose")
        return attend(self, *given)

    monkeypatch.setattr(graphs.Room, "attend", failing)
    for _ in range(3):
        assert prepared(**new).logits.isfinite().all()
    assert calls
    assert any("on purpose" in message for message in caplog.messages)
    assert torch.cuda.current_stream() == stream
    torch.cuda.empty_cache()
    torch.testing.assert_close(prepared(**known).logits, expected, atol=0, rtol=0)


@pytest.mark.gpu
@ON_GPU
def test_on_a_gpu_under_autocast(make, feed, right):
    model = make("ForSequenceClassification", dim=64).cuda()
    prepared, inputs = d.prepare(model, "bf16"), on_gpu(feed, right, (9, 4))
    expected = prepared(**inputs).logits
    with torch.autocast("cuda", torch.float16):
        found = [prepared(**inputs).logits for _ in range(2)][-1]
    torch.testing.assert_close(found.float(), expected, atol=0.05, rtol=0.05)
    torch.testing.assert_close(prepared(**inputs).logits, expected, atol=0.05, rtol=0.05)

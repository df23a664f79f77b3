import threading
from concurrent.futures import CancelledError

import pytest

import distilbert
from distilbert.serving.turns import BusyError, TooMuchError, Turns

from .conftest import WORDS

MANY = [str(i) for i in range(100)]


@pytest.fixture
def turns(pipe, model):
    found = Turns(pipe, most_waiting=1000)
    yield found
    model.release()
    found.close()


@pytest.fixture
def held(turns, model):
    """Turns whose thread waits in the computation of a first request, until it is released."""
    model.hold()
    first = turns.ask(turns.pipeline.read("99"))
    assert model.begun.acquire(timeout=10)
    yield turns
    model.release()
    assert first.result(10)


@pytest.fixture
def ask(turns, pipe):
    """Ask, and return a function that waits for the answer."""

    def begin(inputs, **options):
        request = pipe.read(inputs, **options)
        future = turns.ask(request)
        return lambda: pipe.answer(request, future.result(10))

    return begin


def test_a_request_gets_what_a_call_gives(ask, pipe):
    for inputs, options in [
        ("1 2", {}),
        (["1 2", "3"], {"top_k": 2}),
        ({"text": "1", "text_pair": "2"}, {}),
        (("1", "2"), {"top_k": None}),
        ([], {}),
    ]:
        assert ask(inputs, **options)() == pipe(inputs, **options)


def test_what_waits_is_computed_together_whatever_its_options(held, ask, pipe, model):
    asked = [ask("1 2"), ask(["3", "4 5 6"], top_k=2), ask("7", function_to_apply="sigmoid")]
    model.release()
    answers = [wait() for wait in asked]
    assert model.batches == [1, 4]
    assert answers == [
        pipe("1 2"), pipe(["3", "4 5 6"], top_k=2), pipe("7", function_to_apply="sigmoid")
    ]  # fmt: skip


def test_a_text_does_not_wait_for_the_whole_of_a_long_list(held, pipe, model):
    many, one = held.ask(pipe.read(MANY)), held.ask(pipe.read("7"))
    order = []
    many.add_done_callback(lambda _: order.append("many"))
    one.add_done_callback(lambda _: order.append("one"))
    model.release()
    assert len(many.result(10)) == 100
    assert len(one.result(10)) == 1
    assert order == ["one", "many"]


def test_nor_for_the_whole_of_an_input_with_many_rows(model):
    model.config.id2label = {0: "entailment", 1: "neutral", 2: "contradiction"}
    tokenizer = distilbert.DistilBertTokenizerFast({word: i for i, word in enumerate(WORDS)})
    classify = distilbert.pipeline(
        "zero-shot-classification", model, tokenizer, batch_tokens=32, hypothesis_template="{}"
    )
    turns = Turns(classify)
    model.hold()
    first = turns.ask(classify.read("1", candidate_labels=["2"]))
    assert model.begun.acquire(timeout=10)
    request = classify.read("1", candidate_labels=MANY)
    many, one = turns.ask(request), turns.ask(classify.read("1", candidate_labels=["3"]))
    order = []
    many.add_done_callback(lambda _: order.append("many"))
    one.add_done_callback(lambda _: order.append("one"))
    model.release()
    assert classify.answer(request, many.result(10)) == classify("1", MANY)
    assert order == ["one", "many"]
    assert first.done()
    turns.close()


def test_too_much_is_refused_and_taken_again_later(held, ask, pipe, model):
    texts = ["1 2 3"] * 199  # of 5 tokens each
    wait = ask(texts)
    assert held.waiting_tokens == 995
    with pytest.raises(BusyError, match="995 tokens are waiting, of at most 1,000"):
        held.ask(pipe.read(["1", "2"]))
    held.require_room()
    model.release()
    assert wait() == pipe(texts)
    assert held.waiting_tokens == 0
    with pytest.raises(TooMuchError, match=r"more tokens than may wait \(1,000\)"):
        held.ask(pipe.read(texts * 2))


def test_what_is_cancelled_before_its_turn_is_not_computed(held, ask, pipe, model):
    gone, wait = held.ask(pipe.read(["1"] * 300)), ask("3")
    assert gone.cancel()
    assert held.waiting_tokens == 3  # at once, so that others may wait in its place
    model.release()
    assert wait() == pipe("3")
    assert model.batches[:2] == [1, 1]
    with pytest.raises(CancelledError):
        gone.result()


def test_what_is_cancelled_during_its_turn_harms_nobody(turns, ask, pipe, model):
    model.hold()
    gone = turns.ask(pipe.read("1"))
    assert model.begun.acquire(timeout=10)
    assert gone.cancel()
    model.release()
    assert ask("2")() == pipe("2")


def test_the_rest_of_a_list_that_is_cancelled_is_not_computed(held, ask, pipe, model):
    gone = held.ask(pipe.read(MANY))
    model.let_through()
    assert model.begun.acquire(timeout=10)  # the next turn, with some of the list
    assert gone.cancel()
    assert held.waiting_tokens == 0
    model.release()
    assert ask("3")() == pipe("3")
    assert sum(model.batches[:-1]) < 30


def test_a_failure_goes_to_those_whose_turn_it_was(held, ask, pipe, model):
    poisoned, beside = ask(["poison"] + ["1"] * 50), ask("2")
    model.release()
    for wait in (poisoned, beside):
        with pytest.raises(ArithmeticError, match="the model cannot"):
            wait()
    assert ask("3")() == pipe("3")
    assert held.waiting_tokens == 0
    assert sum(model.batches) < 20  # the rest of a list that has failed is not computed


def test_a_caller_who_is_slow_to_cancel_harms_nobody(turns, ask, pipe, model, monkeypatch):
    """Its request fails again before it has left the queue."""
    may_forget, forget = threading.Event(), turns._forget

    def slowly(asked):
        if threading.current_thread() is not turns._thread:
            assert may_forget.wait(10)
        forget(asked)

    monkeypatch.setattr(turns, "_forget", slowly)
    model.hold()
    future = turns.ask(pipe.read(["poison"] * 30))
    assert model.begun.acquire(timeout=10)
    caller = threading.Thread(target=future.cancel)
    caller.start()
    while not future.cancelled():
        pass
    model.let_through()
    assert model.begun.acquire(timeout=10)
    may_forget.set()
    caller.join(10)
    model.release()
    assert ask("3")() == pipe("3")
    assert turns.is_working
    assert turns.waiting_tokens == 0


def test_an_answer_that_cannot_be_read_harms_nobody_else(held, ask, pipe, model, monkeypatch):
    broken, beside = ask("1", top_k=2), ask("2")
    decode = pipe._decode

    def fails_for_two(encoded, kept, options):
        if options.top_k == 2:
            raise ArithmeticError("this answer cannot be read")
        return decode(encoded, kept, options)

    monkeypatch.setattr(pipe, "_decode", fails_for_two)
    model.release()
    with pytest.raises(ArithmeticError, match="cannot be read"):
        broken()
    assert beside() == pipe("2")


def test_close_computes_what_waits_and_takes_nothing_more(pipe, model):
    turns = Turns(pipe)
    model.hold()
    asked = [turns.ask(pipe.read(text)) for text in MANY[:20]]
    closing = threading.Thread(target=turns.close)
    closing.start()
    model.release()
    closing.join(10)
    assert all(len(each.result(0)) == 1 for each in asked)
    assert not turns.is_working
    with pytest.raises(RuntimeError, match="nothing is computed any more"):
        turns.ask(pipe.read("1"))


def test_many_threads(ask, pipe):
    expected = [pipe(MANY[i % 100]) for i in range(400)]
    found = [None] * 400

    def caller(first):
        for i in range(first, 400, 8):
            found[i] = ask(MANY[i % 100])()

    threads = [threading.Thread(target=caller, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == expected


def test_as_much_as_may_wait_may(pipe):
    turns = Turns(pipe, most_waiting=9)
    texts = ["1"] * 3  # of 3 tokens each
    assert len(turns.ask(pipe.read(texts)).result(10)) == 3
    turns.require_room(9)
    turns.close()


def test_an_impossible_limit(pipe):
    with pytest.raises(ValueError, match="most_waiting=0 must be at least 1"):
        Turns(pipe, 0)

import threading
from concurrent.futures import CancelledError

import pytest

from distilbert.serving.turns import BusyError, Turns


@pytest.fixture
def turns(pipe, model):
    found = Turns(pipe, most_waiting=1000)
    yield found
    model.gate.set()
    found.close()


@pytest.fixture
def held(turns, model):
    """Turns whose thread computes a first request, until the gate is opened."""
    model.gate.clear()
    first = turns.ask(turns.pipeline.read("99"))
    assert model.begun.acquire(timeout=10)
    yield turns
    model.gate.set()
    assert first.result(10)


def test_a_request_gets_what_a_call_gives(turns, pipe):
    for inputs, options in [
        ("1 2", {}),
        (["1 2", "3"], {"top_k": 2}),
        ({"text": "1", "text_pair": "2"}, {}),
        (("1", "2"), {"top_k": None}),
        ([], {}),
    ]:
        assert turns.ask(pipe.read(inputs, **options)).result(10) == pipe(inputs, **options)


def test_what_waits_is_computed_together_whatever_its_options(held, pipe, model):
    asked = [
        held.ask(pipe.read("1 2")),
        held.ask(pipe.read(["3", "4 5 6"], top_k=2)),
        held.ask(pipe.read("7", function_to_apply="sigmoid")),
    ]
    model.gate.set()
    answers = [each.result(10) for each in asked]
    assert model.batches == [1, 4]
    assert answers == [
        pipe("1 2"), pipe(["3", "4 5 6"], top_k=2), pipe("7", function_to_apply="sigmoid")
    ]  # fmt: skip


def test_a_text_does_not_wait_for_the_whole_of_a_long_list(held, pipe, model):
    many = held.ask(pipe.read([str(i) for i in range(100)]))
    one, order = held.ask(pipe.read("7")), []
    many.add_done_callback(lambda _: order.append("many"))
    one.add_done_callback(lambda _: order.append("one"))
    model.gate.set()
    assert many.result(10) == pipe([str(i) for i in range(100)])
    assert one.result(10) == pipe("7")
    assert order == ["one", "many"]


def test_too_much_is_refused_and_taken_again_later(held, pipe, model):
    texts = ["1 2 3"] * 199  # of 5 tokens each
    asked = held.ask(pipe.read(texts))
    assert held.waiting_tokens == 995
    with pytest.raises(BusyError, match="995 tokens are waiting, of at most 1,000"):
        held.ask(pipe.read(["1", "2"]))
    model.gate.set()
    assert len(asked.result(10)) == 199
    assert held.waiting_tokens == 0
    assert len(held.ask(pipe.read(texts * 2)).result(10)) == 398  # nothing waited


def test_what_is_cancelled_before_its_turn_is_not_computed(held, pipe, model):
    gone, kept = held.ask(pipe.read(["1", "2"])), held.ask(pipe.read("3"))
    assert gone.cancel()
    model.gate.set()
    assert kept.result(10) == pipe("3")
    assert model.batches[:2] == [1, 1]
    assert held.waiting_tokens == 0
    with pytest.raises(CancelledError):
        gone.result()


def test_the_rest_of_a_list_that_is_cancelled_is_not_computed(held, pipe, model):
    gone = held.ask(pipe.read(["1"] * 100))
    model.gate.set()  # the next turn takes some of the list
    model.gate.clear()
    assert model.begun.acquire(timeout=10)
    assert gone.cancel()
    model.gate.set()
    assert held.ask(pipe.read("3")).result(10) == pipe("3")
    assert sum(model.batches[:-1]) < 30
    assert held.waiting_tokens == 0


def test_a_failure_goes_to_those_whose_turn_it_was(held, pipe, model):
    poisoned = held.ask(pipe.read(["poison"] + ["1"] * 50))
    beside = held.ask(pipe.read("2"))
    model.gate.set()
    for asked in (poisoned, beside):
        with pytest.raises(ArithmeticError, match="the model cannot"):
            asked.result(10)
    assert held.ask(pipe.read("3")).result(10) == pipe("3")
    assert held.waiting_tokens == 0
    assert sum(model.batches) < 20  # the rest of a list that has failed is not computed


def test_close_answers_what_waits_and_takes_nothing_more(pipe, model):
    turns = Turns(pipe)
    model.gate.clear()
    asked = [turns.ask(pipe.read(str(i))) for i in range(20)]
    closing = threading.Thread(target=turns.close)
    closing.start()
    model.gate.set()
    closing.join(10)
    assert [each.result(0) for each in asked] == [pipe(str(i)) for i in range(20)]
    with pytest.raises(RuntimeError, match=r"after close\(\)"):
        turns.ask(pipe.read("1"))


def test_many_threads(turns, pipe):
    expected = [pipe(str(i % 100)) for i in range(400)]
    found = [None] * 400

    def caller(first):
        for i in range(first, 400, 8):
            found[i] = turns.ask(pipe.read(str(i % 100))).result(10)

    threads = [threading.Thread(target=caller, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == expected


def test_an_impossible_limit(pipe):
    with pytest.raises(ValueError, match="most_waiting=0 must be at least 1"):
        Turns(pipe, 0)

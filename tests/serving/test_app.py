"""The application behind a real server, over real connections."""

import http.client
import json
import socket
import sys
import threading
import time

import numpy as np
import pytest

uvicorn = pytest.importorskip("uvicorn")

import distilbert  # noqa: E402
from distilbert.serving.app import make_app  # noqa: E402
from distilbert.serving.turns import Turns  # noqa: E402


@pytest.fixture
def turns(pipe):
    return Turns(pipe, most_waiting=100)


@pytest.fixture
def about():
    return {"task": "text-classification"}


@pytest.fixture
def server(turns, about):
    app = make_app(turns, about, most_bytes=2000)
    return uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False))


@pytest.fixture
def port(server, turns, model):
    listening = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    yield listening.getsockname()[1]
    model.release()
    server.should_exit = True
    thread.join(10)
    assert not thread.is_alive()
    assert not turns.is_working
    listening.close()


@pytest.fixture
def ask(port):
    """Send a request and return status and JSON."""

    def send(content=None, path="/predict", method="POST"):
        body = content if content is None or isinstance(content, bytes) else json.dumps(content)
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        connection.request(method, path, body)
        response = connection.getresponse()
        found = response.status, json.loads(response.read()), response.headers
        connection.close()
        return found

    return send


def test_answers_are_those_of_the_pipeline(ask, pipe):
    for inputs, options in [
        ("1 2", {}),
        (["1 2", "3"], {"top_k": 2}),
        ({"text": "1", "text_pair": "2"}, {"top_k": None}),
        ([], {}),
    ]:
        status, answer, headers = ask({"inputs": inputs, "parameters": options})
        assert (status, answer) == (200, pipe(inputs, **options))
        assert headers["content-type"] == "application/json"
    assert ask({"inputs": "1 2", "parameters": None})[1] == pipe("1 2")


def test_what_is_served_and_that_it_works(ask, about):
    assert ask(path="/", method="GET")[:2] == (200, {"task": "text-classification"})
    about["labels"] = ["\ud800"]  # which UTF-8 has not
    assert ask(path="/", method="GET")[1]["labels"] == ["\ud800"]
    status, answer, _ = ask(path="/health", method="GET")
    assert (status, answer) == (200, {"status": "ok", "waiting_tokens": 0})


@pytest.mark.parametrize(
    ("content", "status", "message"),
    [
        (b"{", 400, "not JSON"),
        (b"\xff", 400, "not UTF-8"),
        # How deep is too deep depends on Python's version.
        (b"[" * 1900, 400, "nested" if sys.version_info < (3, 13) else "not JSON"),
        ([1], 400, "expected {"),
        ({"input": "1"}, 400, "expected {"),
        ({"inputs": "1", "options": {}}, 400, "no 'options'"),
        ({"inputs": "1", "parameters": [1]}, 400, "must be an object"),
        ({"inputs": "1", "parameters": []}, 400, "must be an object"),
        ({"inputs": "1", "parameters": {"inputs": 1}}, 400, "no option 'inputs'"),
        ({"inputs": "1", "parameters": {"self": 1}}, 400, "no option 'self'"),
        ({"inputs": ["1 " * 50] * 3}, 413, "more tokens than may wait (100)"),
        ({"inputs": "1", "parameters": {"topk": 1}}, 400, "no option 'topk'"),
        ({"inputs": "1", "parameters": {"x" * 1900: 1}}, 400, f"option {'x' * 59!r:.60}; it has"),
        ({"inputs": "1", "x" * 1900: {}}, 400, f"is no {'x' * 59!r:.60}, only"),
        ({"inputs": "1", "parameters": {"top_k": "x" * 1900}}, 400, "got 'xxx"),
        ({"inputs": "1", "parameters": {"top_k": "x"}}, 400, "top_k"),
        ({"inputs": 1}, 400, "expected a text"),
        ({"inputs": {"texts": "1"}}, 400, "expected the keys"),
        ({"inputs": ["1", ""]}, 400, "input 1: the text is empty"),
        ({"inputs": "1 " * 990}, 400, "tokens, and at most 512 fit"),
        ({"inputs": "1 " * 2000}, 413, "more than 2,000 bytes"),
        ({"inputs": "poison"}, 500, "ArithmeticError: the model cannot"),
    ],
)
def test_what_is_wrong_is_said(ask, content, status, message):
    found, answer, _ = ask(content)
    assert found == status
    assert message in answer["error"]
    assert len(answer["error"]) < 500
    assert ask({"inputs": "1"})[0] == 200


def test_paths_and_methods_that_there_are_not(ask):
    assert ask({"inputs": "1"}, path="/answer")[:2] == (404, {"error": "Not Found"})
    assert ask(method="GET")[:2] == (405, {"error": "Method Not Allowed"})


def test_a_model_of_nan_is_an_error(ask, pipe):
    pipe.model = lambda input_ids, attention_mask: np.full((len(input_ids), 3), np.nan)
    status, answer, _ = ask({"inputs": "1"})
    assert status == 500
    assert "NaN or infinity" in answer["error"]


def test_what_comes_together_is_computed_together(ask, pipe, model):
    model.hold()
    found = {}

    def caller(text):
        found[text] = ask({"inputs": text})

    threads = [threading.Thread(target=caller, args=(str(i),)) for i in range(9)]
    threads[0].start()
    assert model.begun.acquire(timeout=10)
    for thread in threads[1:]:
        thread.start()
    _wait_for(lambda: ask(path="/health", method="GET")[1]["waiting_tokens"] == 8 * 3)
    model.release()
    for thread in threads:
        thread.join()
    assert model.batches == [1, 8]
    for text, (status, answer, _) in found.items():
        assert (status, answer) == (200, pipe(text))


def test_too_much_at_once_is_refused(ask, turns, pipe, model):
    model.hold()
    waiting = [turns.ask(pipe.read("1"))]
    assert model.begun.acquire(timeout=10)
    waiting.append(turns.ask(pipe.read(["1"] * 33)))
    status, answer, headers = ask({"inputs": "2"})
    assert status == 503
    assert headers["retry-after"] == "1"
    assert "of at most 100" in answer["error"]
    model.release()
    assert [len(each.result(10)) for each in waiting] == [1, 33]
    assert ask({"inputs": "2"})[0] == 200


def test_who_has_gone_is_not_answered(port, ask, turns, pipe, model):
    model.hold()
    first = turns.ask(pipe.read("1"))
    assert model.begun.acquire(timeout=10)
    body = json.dumps({"inputs": ["2"] * 5}).encode()
    head = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body)
    with socket.create_connection(("127.0.0.1", port)) as caller:
        caller.sendall(head + body)
        _wait_for(lambda: turns.waiting_tokens == 15)
    _wait_for(lambda: turns.waiting_tokens == 0)
    model.release()
    assert len(first.result(10)) == 1
    assert ask({"inputs": "3"})[1] == pipe("3")
    assert model.batches[:2] == [1, 1]


def test_who_hangs_up_within_the_body_leaves_no_trace(port, server, ask, caplog):
    head = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n"
    with socket.create_connection(("127.0.0.1", port)) as caller:
        caller.sendall(head + b'{"inputs"')
        _wait_for(lambda: server.server_state.tasks)
    _wait_for(lambda: not server.server_state.tasks)
    assert ask({"inputs": "3"})[0] == 200
    assert not caplog.records


def test_a_full_server_does_not_even_read(ask, turns, pipe, model, monkeypatch):
    model.hold()
    turns.ask(pipe.read("1"))
    assert model.begun.acquire(timeout=10)
    turns.ask(pipe.read(["1"] * 33))
    turns.waiting_tokens += 1  # 100 of 100
    monkeypatch.setattr(pipe, "read", lambda *_, **__: pytest.fail("this was read"))
    assert ask({"inputs": "2"})[0] == 503
    turns.waiting_tokens -= 1


def test_no_more_is_read_than_may_wait(ask, pipe):
    pipe.read_ahead = 10
    status, answer, _ = ask({"inputs": ["1"] * 300 + [""]})
    assert status == 413, answer  # the last one, which is wrong, was not read
    assert ask({"inputs": "1"})[0] == 200


@pytest.fixture
def endless_reading(pipe, monkeypatch):
    """Events of the beginning and the end of a reading that only `count` can end."""
    begun, ended = threading.Event(), threading.Event()

    def read(inputs, count):
        begun.set()
        try:
            while True:
                count(0)
                time.sleep(0.01)
        finally:
            ended.set()

    monkeypatch.setattr(pipe, "read", read)
    return begun, ended


def test_what_nobody_waits_for_is_not_read_on(port, server, endless_reading):
    begun, ended = endless_reading
    head = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 14\r\n\r\n"
    with socket.create_connection(("127.0.0.1", port)) as caller:
        caller.sendall(head + b'{"inputs": ""}')
        assert begun.wait(10)
        assert not ended.is_set()
    assert ended.wait(10)
    _wait_for(lambda: not server.server_state.tasks)


def test_what_nobody_waits_for_is_not_answered_on(port, server, pipe, monkeypatch):
    begun, goes_on, ended, decoded = *(threading.Event() for _ in range(3)), []
    answer, decode = pipe.answer, pipe._decode

    def slow(*given):
        decoded.append(given)
        begun.set()
        assert goes_on.wait(10)
        return decode(*given)

    def answering(*given):
        try:
            return answer(*given)
        finally:
            ended.set()

    monkeypatch.setattr(pipe, "_decode", slow)
    monkeypatch.setattr(pipe, "answer", answering)
    body = b'{"inputs": ["1", "2", "3"]}'
    head = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body)
    with socket.create_connection(("127.0.0.1", port)) as caller:
        caller.sendall(head + body)
        assert begun.wait(10)
    _wait_for(lambda: not server.server_state.tasks)
    goes_on.set()
    assert ended.wait(10)
    assert len(decoded) == 1


@pytest.mark.parametrize(
    ("task", "inputs", "made"),
    [
        ("fill-mask", "[MASK] " * 97, "10,282"),  # 106 words each
        ("question-answering", {"question": "1", "context": "2"}, "2,147,483,647"),
    ],
)
def test_a_request_makes_no_more_answers_than_it_may(ask, turns, pipe, task, inputs, made):
    def model(input_ids, attention_mask):
        if task == "fill-mask":
            return np.zeros((*input_ids.shape, len(pipe.tokenizer)))
        return np.zeros(input_ids.shape), np.zeros(input_ids.shape)

    turns.pipeline = distilbert.pipeline(task, model, pipe.tokenizer, config=pipe.config)
    status, answer, _ = ask({"inputs": inputs, "parameters": {"top_k": 2**31 - 1}})
    assert status == 400
    assert f"top_k=2147483647 makes {made} answers" in answer["error"]
    assert "at most 10,000" in answer["error"]
    assert ask({"inputs": inputs, "parameters": {"top_k": 2}})[0] == 200


def test_what_is_not_done_when_the_server_ends_is_told_so(ask, server, endless_reading):
    begun, ended = endless_reading
    server.config.timeout_graceful_shutdown = 1
    found = []
    caller = threading.Thread(target=lambda: found.append(ask({"inputs": ""})))
    caller.start()
    assert begun.wait(10)
    server.should_exit = True
    caller.join(10)
    assert found[0][0] == 503
    assert "the server ends" in found[0][1]["error"]
    assert ended.wait(10)


def test_health_says_when_nothing_is_computed_any_more(ask, turns):
    turns.close()
    status, answer, _ = ask(path="/health", method="GET")
    assert status == 503
    assert "start the server again" in answer["error"]


def _wait_for(condition, seconds=10):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)

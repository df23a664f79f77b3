"""The HTTP side: `POST /predict` with JSON, the answers of a pipeline back. Starlette, no state."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Iterable, Iterator
from contextlib import asynccontextmanager
from threading import Event
from typing import Any, TypeVar

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.requests import Request as HTTPRequest
from starlette.responses import Response
from starlette.routing import Route

from distilbert.pipelines.flow import Request
from distilbert.pipelines.records import as_json
from distilbert.serving.turns import BusyError, TooMuchError, Turns

Item = TypeVar("Item")
Result = TypeVar("Result")

MOST_CANDIDATES = 10_000
"""Answers that `top_k` may ask for, in all masks or windows of a request together.

Each takes time and memory that no count of tokens shows."""

CLOSED_BY_CALLER = 499
"""A status that nobody reads, known from nginx."""


def make_app(turns: Turns, about: dict[str, Any], most_bytes: int = 1_000_000) -> Starlette:
    """Return an ASGI application over a pipeline; it closes `turns` when it ends.

    | | |
    |---|---|
    | `POST /predict` | `{"inputs": …, "parameters": {…}}` to what the pipeline returns for them |
    | `GET /` | `about` |
    | `GET /health` | that it works, and how many tokens wait |

    `inputs` are one input of the pipeline or a list of them, `parameters` options of its task.
    Errors are `{"error": …}`: 400 for what cannot be answered, 413 for more than `most_bytes` or
    than may ever wait, 503 if too much waits, 500 for a model that fails.

    Mounted in a larger application it does not see the end of that: call `turns.close()` there.
    """

    async def predict(http: HTTPRequest) -> Response:
        is_over = Event()
        try:
            body = await _body(http, most_bytes)
            turns.require_room()  # or reading would be in vain
            reading = run_in_threadpool(_read, turns, body, is_over)
            request = await _while_awaited(http, reading)
            kept = await _while_awaited(http, asyncio.wrap_future(turns.ask(request)))
            writing = run_in_threadpool(_written, turns, request, kept, is_over)
            answer = await _while_awaited(http, writing)
        except ClientDisconnect:
            return Response(status_code=CLOSED_BY_CALLER)
        except TooMuchError as error:
            raise HTTPException(413, str(error)) from None
        except BusyError as error:
            raise HTTPException(503, str(error), {"Retry-After": "1"}) from None
        except asyncio.CancelledError:
            raise HTTPException(503, "the server ends, and this was not done in time") from None
        finally:
            is_over.set()
        return _response(answer)

    async def show(http: HTTPRequest) -> Response:
        return _response(as_json(about))

    async def health(http: HTTPRequest) -> Response:
        if not turns.is_working:
            raise HTTPException(503, "nothing is computed any more: start the server again")
        return _response(as_json({"status": "ok", "waiting_tokens": turns.waiting_tokens}))

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        yield
        await run_in_threadpool(turns.close)

    routes = [
        Route("/", show),
        Route("/health", health),
        Route("/predict", predict, methods=["POST"]),
    ]
    handlers: dict[Any, Any] = {HTTPException: _refused, Exception: _failed}
    return Starlette(routes=routes, exception_handlers=handlers, lifespan=lifespan)


async def _body(http: HTTPRequest, most_bytes: int) -> bytes:
    body = bytearray()
    async for part in http.stream():
        body += part
        if len(body) > most_bytes:
            raise HTTPException(413, f"more than {most_bytes:,} bytes: send it in parts")
    return bytes(body)


def _read(turns: Turns, body: bytes, is_over: Event) -> Request:
    """Return what is asked.

    A short request can have any number of rows: no more are made than may wait, nor for nobody.

    Raises:
        TooMuchError, BusyError: as `Turns.require_room`.
        ClientDisconnect: it is over.
        HTTPException: it cannot be answered; the reason is the caller's to read.
    """
    total = 0

    def count(tokens: int) -> None:
        nonlocal total
        total += tokens
        if is_over.is_set():
            raise ClientDisconnect
        turns.require_room(total)

    try:
        asked = json.loads(body)
        if not isinstance(asked, dict) or "inputs" not in asked:
            raise ValueError('expected {"inputs": …, "parameters": {…}}')
        if unknown := sorted(asked.keys() - {"inputs", "parameters"}):
            raise ValueError(f"there is no {unknown[0]!r:.60}, only inputs and parameters")
        parameters = asked.get("parameters")
        parameters = {} if parameters is None else parameters
        if not isinstance(parameters, dict):
            raise TypeError(f"parameters must be an object, not {parameters!r:.60}")
        request = turns.pipeline.read(asked["inputs"], count, **parameters)
        candidates = sum(each.candidates for each in request.encoded)
        if candidates > MOST_CANDIDATES:
            raise ValueError(
                f"top_k={request.options.top_k} makes {candidates:,} answers in all masks or "
                f"windows of this request, and at most {MOST_CANDIDATES:,} are given: lower it, or "
                "ask in parts"
            )
        return request
    except UnicodeDecodeError as error:
        raise HTTPException(400, f"the body is not UTF-8: {error}") from None
    except json.JSONDecodeError as error:
        raise HTTPException(400, f"the body is not JSON: {error}") from None
    except RecursionError:
        raise HTTPException(400, "the body is nested too deeply") from None
    except (TypeError, ValueError) as error:
        raise HTTPException(400, str(error)) from None


async def _while_awaited(http: HTTPRequest, work: Awaitable[Result]) -> Result:
    """Return what work gives, as long as the caller waits for it.

    Raises:
        ClientDisconnect: the caller has gone.
    """
    result = asyncio.ensure_future(work)
    # After the body a caller says nothing but that he has gone.
    gone: asyncio.Future[Any] = asyncio.ensure_future(http.receive())
    try:
        await asyncio.wait([result, gone], return_when=asyncio.FIRST_COMPLETED)
        if not result.done():
            raise ClientDisconnect
    finally:  # what nobody waits for is not computed, at the end of the server too
        gone.cancel()
        result.cancel()
    return result.result()


def _written(turns: Turns, request: Request, kept: list[Any], is_over: Event) -> str:
    """Return the answer as JSON.

    Raises:
        ClientDisconnect: it is over.
        HTTPException: there is NaN in it.
    """
    answer = turns.pipeline.answer(request, _until(is_over, kept))
    try:
        if isinstance(answer, list):  # one by one: other threads wait while JSON is made
            return f"[{', '.join(map(as_json, _until(is_over, answer)))}]"
        return as_json(answer)
    except ValueError:
        raise HTTPException(
            500, "the model answers with NaN or infinity: its weights are damaged"
        ) from None


def _until(is_over: Event, items: Iterable[Item]) -> Iterator[Item]:
    """Yield items until it is over.

    Raises:
        ClientDisconnect: it is.
    """
    for item in items:
        if is_over.is_set():
            raise ClientDisconnect
        yield item


def _response(content: str, status: int = 200, headers: Any = None) -> Response:
    # A label may have a lone surrogate, which UTF-8 has not, but JSON: as an escape.
    body = content.encode(errors="backslashreplace")
    return Response(body, status, headers, media_type="application/json")


def _refused(http: HTTPRequest, error: HTTPException) -> Response:
    return _response(as_json({"error": error.detail}), error.status_code, error.headers)


def _failed(http: HTTPRequest, error: Exception) -> Response:
    return _response(as_json({"error": f"{type(error).__name__}: {error}"}), 500)

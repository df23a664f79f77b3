"""Many callers, one model: what is asked while it computes is computed together next."""

from collections import deque
from concurrent.futures import Future
from dataclasses import dataclass, field
from threading import Condition, Thread
from typing import Any

from distilbert.pipelines.flow import Pipeline, Request


class BusyError(RuntimeError):
    """More is waiting than was allowed: ask again later."""


@dataclass
class _Asked:
    """A request that has no answer yet."""

    request: Request
    tokens: list[int]  # of each input
    answer: Future[Any] = field(default_factory=Future)
    answers: list[Any] = field(default_factory=list)
    taken: int = 0  # inputs that a turn has taken


class Turns:
    """Answers requests of many threads with a thread of its own, in turns.

    A turn takes an input of each request that waits, round and round, until it has the tokens of a
    batch. So what comes together is computed together, a text need not wait for the whole of a
    long list, and whoever comes alone waits for nobody. Answers do not depend on their neighbours.

    Args:
        pipeline: what answers.
        most_waiting: tokens that may wait; a request that comes on top is refused, unless nothing
            waits.
    """

    def __init__(self, pipeline: Pipeline, most_waiting: int = 200_000) -> None:
        if most_waiting < 1:
            raise ValueError(f"most_waiting={most_waiting} must be at least 1")
        self.pipeline = pipeline
        self.most_waiting = most_waiting
        self.waiting_tokens = 0
        self._waiting: deque[_Asked] = deque()
        self._changed = Condition()
        self._is_open = True
        self._thread = Thread(target=self._work, name="distilbert-turns", daemon=True)
        self._thread.start()

    def ask(self, request: Request) -> Future[Any]:
        """Return the future answer to a request, the same as a call of the pipeline gives.

        Cancelled, what has not had its turn is not computed.

        Raises:
            BusyError: too much waits.
            RuntimeError: `close` was called.
        """
        lengths = [sum(len(row.ids) for row in each.rows) for each, _ in request.work]
        asked, tokens = _Asked(request, lengths), sum(lengths)
        with self._changed:
            if not self._is_open:
                raise RuntimeError("no request is taken after close()")
            if self.waiting_tokens and self.waiting_tokens + tokens > self.most_waiting:
                raise BusyError(
                    f"{self.waiting_tokens:,} tokens are waiting, of at most "
                    f"{self.most_waiting:,}: ask again later"
                )
            if request.work:
                self._waiting.append(asked)
                self.waiting_tokens += tokens
                self._changed.notify()
        if not request.work:
            asked.answer.set_result([])
        return asked.answer

    def close(self) -> None:
        """Take no more requests, answer what waits, and return when all is done."""
        with self._changed:
            self._is_open = False
            self._changed.notify()
        self._thread.join()

    def _work(self) -> None:
        while turn := self._next():
            try:
                answers = self.pipeline.compute([asked.request.work[i] for asked, i in turn])
            except Exception as error:  # goes to those who asked; what waits gets its turn
                for asked in {id(asked): asked for asked, _ in turn}.values():
                    if asked.answer.set_running_or_notify_cancel():
                        asked.answer.set_exception(error)
                continue
            for (asked, _), answer in zip(turn, answers, strict=True):
                asked.answers.append(answer)
                is_whole = len(asked.answers) == len(asked.request.work)
                if is_whole and asked.answer.set_running_or_notify_cancel():
                    asked.answer.set_result(self.pipeline.join(asked.request, asked.answers))

    def _next(self) -> list[tuple[_Asked, int]]:
        """Wait until something is asked, and take the inputs of a turn; none after `close`."""
        turn: list[tuple[_Asked, int]] = []
        tokens = 0
        with self._changed:
            while not turn and (self._waiting or self._is_open):
                self._changed.wait_for(lambda: self._waiting or not self._is_open)
                while self._waiting and tokens < self.pipeline.batch_tokens:
                    asked = self._waiting.popleft()
                    if asked.answer.done():  # cancelled, or failed
                        self.waiting_tokens -= sum(asked.tokens[asked.taken :])
                        continue
                    turn.append((asked, asked.taken))
                    tokens += asked.tokens[asked.taken]
                    self.waiting_tokens -= asked.tokens[asked.taken]
                    asked.taken += 1
                    if asked.taken < len(asked.tokens):
                        self._waiting.append(asked)
        return turn

"""Many callers, one model: what is asked while it computes is computed together next."""

from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from threading import Condition, Thread
from typing import Any

from distilbert.pipelines.flow import Pipeline, Request
from distilbert.pipelines.running import Row


class BusyError(RuntimeError):
    """More would wait than may: ask again later."""


class TooMuchError(RuntimeError):
    """More than may ever wait: ask in parts."""


@dataclass(eq=False)
class _Asked:
    """A request that has not been computed yet."""

    rows: Sequence[tuple[Row, Any]]
    future: Future[list[Any]] = field(default_factory=Future)
    kept: list[Any] = field(default_factory=list)
    taken: int = 0  # rows that a turn has taken

    @property
    def tokens_left(self) -> int:
        return sum(len(row.ids) for row, _ in self.rows[self.taken :])


class Turns:
    """Computes the requests of many threads in turns, with a thread of its own.

    A turn takes a row of each request that waits, round and round, until it has the tokens of a
    batch. So what comes together is computed together, a text need not wait for the whole of a long
    list or a long context, and whoever comes alone waits for nobody. What a request gets does not
    depend on its neighbours.

    Args:
        pipeline: whose `compute` it is.
        most_waiting: tokens that may wait.
    """

    def __init__(self, pipeline: Pipeline, most_waiting: int = 200_000) -> None:
        if most_waiting < 1:
            raise ValueError(f"most_waiting={most_waiting} must be at least 1")
        self.pipeline = pipeline
        self.most_waiting = most_waiting
        self.waiting_tokens = 0
        self._waiting: deque[_Asked] = deque()
        self._changed = Condition()
        self._is_closed = False
        self._thread = Thread(target=self._work, name="distilbert-turns", daemon=True)
        self._thread.start()

    @property
    def is_working(self) -> bool:
        """Whether requests are computed: neither closed nor broken."""
        return self._thread.is_alive() and not self._is_closed

    def require_room(self, tokens: int = 1) -> None:
        """Do nothing if so many tokens more may wait.

        Raises:
            TooMuchError: they never may.
            BusyError: not now.
        """
        if tokens > self.most_waiting:
            raise TooMuchError(
                f"this has more tokens than may wait ({self.most_waiting:,}): ask in parts"
            )
        if self.waiting_tokens + tokens > self.most_waiting:
            raise BusyError(
                f"{self.waiting_tokens:,} tokens are waiting, of at most {self.most_waiting:,}: "
                "ask again later"
            )

    def ask(self, request: Request) -> Future[list[Any]]:
        """Return what `pipeline.compute` will keep of a request's rows, for `pipeline.answer`.

        Once it is cancelled, no more of it is computed.

        Raises:
            TooMuchError, BusyError: as `require_room`.
            RuntimeError: it does not work, or no more.
        """
        asked = _Asked(request.rows)
        tokens = asked.tokens_left
        # Before its turn can come: if it fails, the rest of it has to leave the queue.
        asked.future.add_done_callback(lambda _: self._forget(asked))
        with self._changed:
            if not self.is_working:
                raise RuntimeError("nothing is computed any more")
            self.require_room(tokens)
            if asked.rows:
                self._waiting.append(asked)
                self.waiting_tokens += tokens
                self._changed.notify()
            else:
                asked.future.set_result([])
        return asked.future

    def close(self) -> None:
        """Take no more requests, compute what waits, and return when all is done."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()
        self._thread.join()

    def _forget(self, asked: _Asked) -> None:
        """Let the rest of a request that was cancelled or has failed no longer wait."""
        with self._changed:
            if asked.taken < len(asked.rows):  # it is in the queue
                self._waiting.remove(asked)
                self.waiting_tokens -= asked.tokens_left

    def _work(self) -> None:
        while turn := self._next():
            try:
                kept = self.pipeline.compute([asked.rows[i] for asked, i in turn])
            except Exception as error:  # goes to those who asked; what waits gets its turn
                for asked in {asked for asked, _ in turn}:
                    # It may be over already: cancelled, and not yet taken out of the queue.
                    if not asked.future.done() and asked.future.set_running_or_notify_cancel():
                        asked.future.set_exception(error)
                continue
            for (asked, _), each in zip(turn, kept, strict=True):
                asked.kept.append(each)
                is_whole = len(asked.kept) == len(asked.rows)
                if is_whole and asked.future.set_running_or_notify_cancel():
                    asked.future.set_result(asked.kept)

    def _next(self) -> list[tuple[_Asked, int]]:
        """Wait until something is asked, and take the rows of a turn; none after `close`."""
        turn: list[tuple[_Asked, int]] = []
        tokens = 0
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._is_closed)
            while self._waiting and tokens < self.pipeline.batch_tokens:
                asked = self._waiting.popleft()
                turn.append((asked, asked.taken))
                length = len(asked.rows[asked.taken][0].ids)
                tokens += length
                self.waiting_tokens -= length
                asked.taken += 1
                if asked.taken < len(asked.rows):
                    self._waiting.append(asked)
        return turn

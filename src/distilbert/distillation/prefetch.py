"""The steps of a run made ahead by a thread, so that no device waits for its batches."""

from abc import ABC, abstractmethod
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Generic, Self, TypeVar

Step = TypeVar("Step")


class Prefetched(ABC, Generic[Step]):
    """Makes steps by number, some of them ahead.

    Args:
        prefetch: steps that a thread makes ahead; 0 makes each when it is asked for.

    Use it as a context manager, or `close` it, to end the thread.
    """

    def __init__(self, prefetch: int) -> None:
        self._prefetch = prefetch
        self._thread: ThreadPoolExecutor | None = None
        self._ahead: dict[int, Future[Step]] = {}

    @abstractmethod
    def _make(self, number: int) -> Step:
        """Make a step; it depends on nothing but its number."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the thread that makes steps ahead."""
        if self._thread is not None:
            self._thread.shutdown(wait=True, cancel_futures=True)
        self._thread, self._ahead = None, {}

    def step(self, number: int) -> Step:
        """Return what belongs to a step.

        Raises:
            OSError: a shard cannot be read.
            ValueError: the step's number is negative.
        """
        if self._prefetch < 1:
            return self._make(number)
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="distilbert-batches")
        wanted = range(number, number + self._prefetch + 1)
        for stale in [each for each in self._ahead if each not in wanted]:
            self._ahead.pop(stale).cancel()
        for each in wanted:
            if each not in self._ahead:
                self._ahead[each] = self._thread.submit(self._make, each)
        return self._ahead.pop(number).result()

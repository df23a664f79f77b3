"""SIGTERM, by which clusters, containers and spot machines ask a process to end.

They wait a while before they kill: long enough for a run to finish its step and write a checkpoint.
"""

import signal
import threading
import time
from types import FrameType, TracebackType
from typing import Self

_STATUS = 128 + signal.SIGTERM
_ONE_REQUEST_S = 5.0
"""Slurm signals torchrun and its processes, and torchrun these again; `timeout` does alike."""


class Terminated(SystemExit):
    """A run has ended because of SIGTERM; nobody need catch it: the exit status is 143.

    Args:
        text: after what it has ended, and what is left of it.
    """

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.code = _STATUS


class Termination:
    """Inside the block a SIGTERM is noted only; one that comes seconds after it ends the process.

    Nothing is changed outside the main thread, which alone may, and where the process has its own
    way with SIGTERM. One that comes too late for anybody to look is sent again at the end.

    Attributes:
        asked: whether a SIGTERM has come.
    """

    def __init__(self) -> None:
        self.asked = False
        self._since = 0.0

    def _note(self, number: int, frame: FrameType | None) -> None:
        if not self.asked:
            self.asked, self._since = True, time.monotonic()
        elif time.monotonic() - self._since > _ONE_REQUEST_S:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.raise_signal(signal.SIGTERM)

    def __enter__(self) -> Self:
        is_main = threading.current_thread() is threading.main_thread()
        if is_main and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            signal.signal(signal.SIGTERM, self._note)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if signal.getsignal(signal.SIGTERM) == self._note:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            if self.asked and kind is None:
                signal.raise_signal(signal.SIGTERM)

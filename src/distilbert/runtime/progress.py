"""What a run tells the one who waits for it: a bar on a terminal, a line now and then elsewhere."""

import sys
import time
from collections import deque
from collections.abc import Callable
from importlib import import_module
from types import TracebackType
from typing import TYPE_CHECKING, Self, SupportsFloat

from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
from rich.progress import Progress as Bar

from distilbert.runtime.console import Console

if TYPE_CHECKING:
    import torch

BAR_INTERVAL_S = 0.5


class Meter:
    """Speed and time left, from the last half minute or so.

    Args:
        clock: seconds, from any origin.
    """

    def __init__(
        self, *, total: int, done: int = 0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.total, self.done, self.units = total, done, 0
        self._clock = clock
        self._made = (clock(), done, 0)
        self._marks = deque([self._made], maxlen=64)

    def advance(self, done: int, units: int) -> None:
        """Note that `done` steps are behind the run, and `units` tokens since the last call."""
        self.done, self.units = done, self.units + units
        now = self._clock()
        if len(self._marks) == 1 or now - self._marks[-1][0] >= BAR_INTERVAL_S:
            if len(self._marks) == 2 and self._marks[0] is self._made:
                self._marks.popleft()  # a validation before the first step says nothing of steps
            self._marks.append((now, self.done, self.units))

    def _rates(self) -> tuple[float, float]:
        start, done, units = self._marks[0]
        elapsed = max(self._clock() - start, 1e-9)
        return (self.done - done) / elapsed, (self.units - units) / elapsed

    @property
    def units_per_s(self) -> float:
        """Tokens per second."""
        return self._rates()[1]

    @property
    def remaining_s(self) -> float | None:
        """Seconds until the last step; None before the first one."""
        steps_per_s = self._rates()[0]
        return (self.total - self.done) / steps_per_s if steps_per_s else None


class Progress:
    """A progress bar with loss, speed, time left and memory; on rank 0 only.

    Args:
        total: steps of the whole run.
        done: those behind it already.
        description: a word before the bar.
        unit: what `advance` counts.
        device: whose memory to show.
        interval_s: seconds between two lines where there is no terminal.
        is_main: false in all processes of the run but one: they say nothing.
        console: where to write; standard error by default.
    """

    def __init__(
        self,
        *,
        total: int,
        done: int = 0,
        description: str = "",
        unit: str = "tokens",
        device: "torch.device | str" = "cpu",
        interval_s: float = 30.0,
        is_main: bool = True,
        console: Console | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.meter = Meter(total=total, done=done, clock=clock)
        self._console = console or Console(stderr=True)
        self._description, self._unit, self._device = description, unit, device
        self._is_main, self._clock = is_main, clock
        live = is_main and self._console.is_terminal
        self._interval_s = BAR_INTERVAL_S if live else interval_s
        self._told_at: float | None = None
        self._bar: Bar | None = None
        if live:
            self._bar = Bar(
                TextColumn("{task.description}", markup=False),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[status]}", markup=False),
                console=self._console,
                redirect_stdout=sys.stdout.isatty(),  # else what is printed would go to the bar's
            )
            self._task = self._bar.add_task(description, total=total, completed=done, status="")

    def advance(self, done: int, units: int = 0, **values: SupportsFloat) -> None:
        """Tell that `done` steps are behind the run.

        Args:
            units: tokens since the last call, on all ranks.
            values: such as `loss=…`; a (detached) tensor is read, which waits for its device, only
                when it is shown.
        """
        if not self._is_main:
            return
        self.meter.advance(done, units)
        now = self._clock()
        is_last = done >= self.meter.total
        if self._told_at is not None and now - self._told_at < self._interval_s and not is_last:
            return
        self._told_at = now
        status = self._status(values)
        if self._bar is not None:
            self._bar.update(self._task, completed=done, status=status)
        else:
            self.say(f"{self._description} {done:,}/{self.meter.total:,}  {status}".strip())

    def say(self, text: str) -> None:
        """Print a line, above the bar if there is one."""
        if self._is_main:
            self._console.print(text, markup=False, emoji=False, highlight=False, soft_wrap=True)

    def _status(self, values: dict[str, SupportsFloat]) -> str:
        parts = [f"{name.replace('_', ' ')} {float(value):.4g}" for name, value in values.items()]
        if self.meter.units:
            parts.append(f"{self.meter.units_per_s:,.0f} {self._unit}/s")
        used = memory_bytes(self._device)
        if used is not None:
            parts.append(f"{used / 1e9:.1f} GB")
        left = self.meter.remaining_s
        if left is not None:
            parts.append(f"{_duration(left)} left")
        return "  ".join(parts)

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()


def memory_bytes(device: "torch.device | str" = "cpu") -> int | None:
    """Return the memory in use: of a GPU its peak, else of this process; None if unknown."""
    if str(device).startswith("cuda"):
        import torch

        return torch.cuda.max_memory_allocated(device)
    try:
        psutil = import_module("psutil")  # comes with accelerate
    except ImportError:
        return None
    return psutil.Process().memory_info().rss


def _duration(seconds: float) -> str:
    """Return `1:02:03` or `2:03`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"

"""The numbers of a run over time: `metrics.jsonl`, one JSON object per line, and TensorBoard."""

import json
import math
import os
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from distilbert.extras import require
from distilbert.runtime.events import Events
from distilbert.runtime.room import room_for

METRICS_FILE = "metrics.jsonl"
EVENTS_FOLDER = "tensorboard"


class Metrics:
    """Appends to the files of a run.

    Lines of steps after `step` are dropped at the start (all, if it is 0), so that a run which was
    killed and resumed leaves the file of an uninterrupted one, `time` and speeds aside. For that,
    write a step's metrics before its checkpoint.

    Args:
        step: optimiser steps done: those of the checkpoint resumed from, or 0.
        tensorboard: also write event files in `tensorboard/`.
        is_main: false in all processes of the run but one: they write nothing.

    Raises:
        ImportError: tensorboard is wanted and not installed.
        OSError: the folder cannot be written.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        step: int = 0,
        tensorboard: bool = True,
        is_main: bool = True,
    ) -> None:
        self._file = None
        self._events: Events | None = None
        if not is_main:
            return
        if tensorboard:
            require("tensorboard")
        path = Path(folder) / METRICS_FILE
        path.parent.mkdir(parents=True, exist_ok=True)
        _drop_after(path, step)
        self._file = path.open("a", encoding="utf-8")
        if tensorboard:
            self._events = Events(path.parent / EVENTS_FOLDER, step + 1 if step else 0)

    def write(self, step: int, **values: float) -> None:
        """Write the numbers of a step, after so many optimiser steps.

        A name with two underscores, `validation__loss`, is `validation/loss` in the files.
        """
        if self._file is None:
            return
        numbers = {name.replace("__", "/"): float(value) for name, value in values.items()}
        line: dict[str, Any] = {"step": step, "time": round(time.time(), 3)}
        line |= {name: v if math.isfinite(v) else str(v) for name, v in numbers.items()}
        with room_for(self._file.name):
            self._file.write(json.dumps(line) + "\n")
            self._file.flush()
            if self._events is not None:
                self._events.write(step, numbers)

    def close(self) -> None:
        """Close the files."""
        if self._file is not None:
            with room_for(self._file.name):
                self._file.close()
        if self._events is not None:
            self._events.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def read_metrics(folder: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """Return the lines of a run's `metrics.jsonl`; one that is cut off or damaged is left out."""
    path = Path(folder) / METRICS_FILE
    return [entry for _, entry in _lines(path)] if path.exists() else []


def _lines(path: Path) -> list[tuple[str, dict[str, Any]]]:
    lines = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True):
        try:
            entry = json.loads(line)
        except ValueError:
            continue  # cut off by a kill
        if isinstance(entry, dict) and isinstance(entry.get("step"), int) and line.endswith("\n"):
            lines.append((line, entry))
    return lines


def _drop_after(path: Path, step: int) -> None:
    if not path.exists():
        return
    kept = [line for line, entry in _lines(path) if 0 < step >= entry["step"]]
    fresh = path.with_suffix(".new")
    fresh.write_text("".join(kept), encoding="utf-8")
    fresh.replace(path)

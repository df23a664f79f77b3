"""The numbers of a run over time: `metrics.jsonl`, one JSON object per line, and TensorBoard."""

import json
import math
import os
import time
from collections.abc import Mapping
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
        again: how the names of numbers begin that are yet to be written for that step: lines that
            have them are dropped as well.
        is_main: false in all processes of the run but one: they write nothing.

    Raises:
        ImportError: tensorboard is not installed.
        OSError: the folder cannot be written.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        step: int = 0,
        again: str | None = None,
        is_main: bool = True,
    ) -> None:
        self._is_main = is_main
        if not is_main:
            return
        require("tensorboard")  # before anything is written
        path = Path(folder) / METRICS_FILE
        path.parent.mkdir(parents=True, exist_ok=True)
        _drop_after(path, step, again)
        self._file = path.open("a", encoding="utf-8")
        self._events = Events(path.parent / EVENTS_FOLDER, step + 1 if step else 0)

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Write the numbers of a step, by name, after so many optimiser steps."""
        if not self._is_main:
            return
        numbers = {name: float(value) for name, value in values.items()}
        line: dict[str, Any] = {"step": step, "time": round(time.time(), 3)}
        line |= {name: v if math.isfinite(v) else str(v) for name, v in numbers.items()}
        with room_for(self._file.name):
            self._file.write(json.dumps(line) + "\n")
            self._file.flush()
            self._events.write(step, numbers)

    def close(self) -> None:
        """Close the files."""
        if not self._is_main:
            return
        with room_for(self._file.name):
            self._file.close()
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


def _drop_after(path: Path, step: int, again: str | None) -> None:
    if not path.exists():
        return

    def is_kept(entry: dict[str, Any]) -> bool:
        if entry["step"] == step and again is not None:
            return not any(name.startswith(again) for name in entry)
        return 0 < step >= entry["step"]

    kept = [line for line, entry in _lines(path) if is_kept(entry)]
    fresh = path.with_suffix(".new")
    fresh.write_text("".join(kept), encoding="utf-8")
    fresh.replace(path)

"""The numbers of a run for TensorBoard: one event file per start of it.

PyTorch's own writer imports TensorFlow where that is installed, for six seconds, and starts a
thread; these are the same records without either.
"""

import os
import socket
import time
from pathlib import Path
from typing import Any, BinaryIO

from distilbert.extras import require


class Events:
    """Appends scalars to an event file.

    Args:
        folder: made if missing.
        purge_step: what earlier files say of this step and later ones no longer holds; 0 is none.

    Raises:
        ImportError: tensorboard is not installed.
        OSError: the folder cannot be written.
    """

    def __init__(self, folder: Path, purge_step: int = 0) -> None:
        self._event = require("tensorboard.compat.proto.event_pb2")
        self._summary = require("tensorboard.compat.proto.summary_pb2").Summary
        folder.mkdir(parents=True, exist_ok=True)
        name = f"events.out.tfevents.{time.time():.6f}.{socket.gethostname()}.{os.getpid()}"
        self._file: BinaryIO = (folder / name).open("ab")
        self._records = require("tensorboard.summary.writer.record_writer").RecordWriter(self._file)
        self._add(file_version="brain.Event:2")
        if purge_step:
            log = self._event.SessionLog
            self._add(step=purge_step, session_log=log(status=log.START))

    def write(self, step: int, values: dict[str, float]) -> None:
        """Write the numbers of a step, by name."""
        named = [self._summary.Value(tag=name, simple_value=v) for name, v in values.items()]
        self._add(step=step, summary=self._summary(value=named))
        self._file.flush()

    def _add(self, **fields: Any) -> None:
        event = self._event.Event(wall_time=time.time(), **fields)
        self._records.write(event.SerializeToString())

    def close(self) -> None:
        """Close the file."""
        self._file.close()

"""Data sets of the hub, streamed by `datasets`: never on disk or in memory as a whole."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from distilbert.distillation.blocks import Part
from distilbert.distillation.text_files import missing_column, text_of
from distilbert.extras import require


@dataclass(frozen=True)
class _Texts:
    """Documents that the reader of a stream hands over."""

    path: str
    texts: tuple[str, ...]

    def read(self, start: int, stop: int) -> Iterator[str]:
        yield from self.texts[start:stop]


@dataclass(frozen=True)
class HubStream:
    """A data set of the hub, streamed by `datasets` in one process; workers get the documents.

    Args:
        path: `hf:NAME[:CONFIG[:SPLIT]]`.
        name: of the data set.
        config: None for the only one.
        split: "train" if not said.
        column: of the text.
    """

    path: str
    name: str
    config: str | None
    split: str
    column: str

    @property
    def size_bytes(self) -> int:
        """Not known."""
        return 0

    def open(self, *, streaming: bool = True) -> Any:
        """Return what `datasets` opens: a stream, or the whole.

        Raises:
            ImportError: datasets is not installed.
            OSError, ValueError: there is no such data set, or it cannot be reached.
        """
        datasets = require("datasets")
        try:
            return datasets.load_dataset(
                self.name, self.config, split=self.split, streaming=streaming
            )
        except OSError as error:
            raise OSError(f"{self.path} cannot be opened: {error}") from error
        except ValueError as error:
            raise ValueError(f"{self.path} cannot be opened: {error}") from error

    def check(self) -> None:
        """Look for the column."""
        stream = self.open()
        columns = stream.column_names or list(next(iter(stream), {self.column: ""}))
        if self.column not in columns:
            raise missing_column(self.path, self.column, columns)

    def fingerprint(self) -> str:
        """Return what the hub says of the data set: its version and sizes."""
        info = self.open().info
        return json.dumps([str(info.version), info.dataset_size, info.download_size])

    def parts(self, at: Any, size_bytes: int) -> Iterator[tuple[Part, Any]]:
        """Read on from a place: the state of the stream after the last document of a part."""
        stream = self.open()
        if at == "end":
            return
        if at is not None:
            stream.load_state_dict(at)
        texts: list[str] = []
        size = 0
        for record in stream:
            if self.column not in record:
                raise missing_column(self.path, self.column, record)
            text = text_of(record[self.column], self.path, self.column, "of a record")
            texts.append(text)
            size += len(text)
            if size >= size_bytes:
                yield self._part(texts, size), stream.state_dict()
                texts, size = [], 0
        if texts:
            yield self._part(texts, size), "end"

    def _part(self, texts: list[str], size: int) -> Part:
        return Part(_Texts(self.path, tuple(texts)), 0, len(texts), size)


def hub_stream(name: str, column: str) -> HubStream:
    """Read `hf:NAME[:CONFIG[:SPLIT]]`.

    Raises:
        ValueError: it is of another form.
    """
    fields = name.removeprefix("hf:").split(":")
    if not fields[0] or len(fields) > 3:
        raise ValueError(f"{name!r} is not of the form hf:NAME[:CONFIG[:SPLIT]]")
    config, split = [*fields[1:], "", ""][:2]
    return HubStream(name, fields[0], config or None, split or "train", column)

"""CSV, TSV and Parquet files, of which one column is text."""

import csv
from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from distilbert.distillation.blocks import Part
from distilbert.distillation.text_files import (
    MAX_DOCUMENT_BYTES,
    RecordFile,
    TextFile,
    decode,
    lines_of,
    missing_column,
)
from distilbert.extras import require

Records = Iterator[tuple[int, int, list[str]]]
"""Offset, offset of what follows, and fields of each record."""


class TableFile(RecordFile):
    """Records of as many fields as the first one, which names the columns."""

    @abstractmethod
    def _records(self, start: int, stop: int) -> Records:
        """Yield the records that begin in a part."""

    def _header(self) -> list[str]:
        return next((fields for _, _, fields in self._records(0, 1)), [])

    def check(self) -> None:
        """Look for the column."""
        if self.size_bytes and self.column not in (header := self._header()):
            raise missing_column(self.path, self.column, header)

    def read(self, start: int, stop: int) -> Iterator[str]:
        """Yield the column of each record."""
        header = self._header()
        place = header.index(self.column)
        records = self._records(start, stop)
        if start == 0:
            next(records, None)  # the header
        for offset, _, fields in records:
            if not fields:
                continue
            if len(fields) != len(header):
                raise ValueError(
                    f"{self.path}: the record at offset {offset} has {len(fields)} fields, the "
                    f"header has {len(header)}"
                )
            yield fields[place]


@dataclass(frozen=True)
class CsvFile(TableFile):
    """Comma-separated values; a field in quotes may hold line breaks, so cuts need reading."""

    def _records(self, start: int, stop: int) -> Records:
        csv.field_size_limit(MAX_DOCUMENT_BYTES)
        place = start

        def lines() -> Iterator[str]:
            nonlocal place
            for offset, line in lines_of(self.path, start, self.size_bytes):
                place = offset + len(line)
                yield decode(line, self.path, offset)

        reader = csv.reader(lines(), strict=True)
        before = start
        while before < stop:
            try:
                fields = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                raise ValueError(
                    f"{self.path} is not CSV: the record at offset {before}: {error}"
                ) from None
            yield before, place, fields
            before = place

    def parts(self, at: Any, size_bytes: int) -> Iterator[tuple[Part, Any]]:
        """Cut between records, which are read to find out where they end."""
        start, size = at or 0, self.size_bytes
        for _, after, _ in self._records(start, size):
            if after - start >= size_bytes:
                yield Part(self, start, after, after - start), after
                start = after
        if start < size:
            yield Part(self, start, size, size - start), size


@dataclass(frozen=True)
class TsvFile(TableFile):
    """Fields between tabs, a record per line, nothing quoted."""

    def _records(self, start: int, stop: int) -> Records:
        for offset, line in lines_of(self.path, start, stop):
            if line.strip():
                fields = decode(line.rstrip(b"\r\n"), self.path, offset).split("\t")
                yield offset, offset + len(line), fields


@dataclass(frozen=True)
class ParquetFile(TextFile):
    """A Parquet file, read row by row from its row groups."""

    column: str

    @property
    def size_bytes(self) -> int:
        """Of the column, decompressed."""
        with self._open() as file:
            return sum(text_bytes for _, _, text_bytes in self._groups(file))

    def _open(self) -> Any:
        parquet = require("pyarrow.parquet")
        from pyarrow import ArrowException

        try:
            return parquet.ParquetFile(self.path, pre_buffer=False, buffer_size=1 << 20)
        except UnicodeEncodeError:
            raise ValueError(
                f"{self.path} has a name that is not UTF-8, and pyarrow opens no such file; "
                "rename it"
            ) from None
        except (ArrowException, OSError) as error:
            raise ValueError(f"{self.path} is not a readable Parquet file: {error}") from error

    def check(self) -> None:
        """Look for the column and at its type."""
        with self._open() as file:
            from pyarrow import types

            schema = file.schema_arrow
            if self.column not in schema.names:
                raise missing_column(self.path, self.column, schema.names)
            kind = schema.field(self.column).type
            text = kind.value_type if types.is_dictionary(kind) else kind
            if not (
                types.is_string(text) or types.is_large_string(text) or types.is_string_view(text)
            ):
                raise ValueError(f"{self.path}: {self.column!r} is not text but of type {kind}")

    def parts(self, at: Any, size_bytes: int) -> Iterator[tuple[Part, Any]]:
        """Cut at row groups, and inside them into rows of about equal size."""
        begin = at or 0
        with self._open() as file:
            for first, rows, text_bytes in self._groups(file):
                pieces = max(1, min(rows, round(text_bytes / size_bytes)))
                cuts = [first + rows * i // pieces for i in range(pieces + 1)]
                for start, stop in pairwise(cuts):
                    if start >= begin and stop > start:
                        yield Part(self, start, stop, text_bytes // pieces), stop

    def _groups(self, file: Any) -> Iterator[tuple[int, int, int]]:
        """Yield first row, rows, and size in bytes of the column, of each row group."""
        first = 0
        for number in range(file.metadata.num_row_groups):
            group = file.metadata.row_group(number)
            columns = [group.column(i) for i in range(group.num_columns)]
            sizes = [c.total_uncompressed_size for c in columns if c.path_in_schema == self.column]
            yield first, group.num_rows, sum(sizes)
            first += group.num_rows

    def read(self, start: int, stop: int) -> Iterator[str]:
        """Yield the column of some rows; null is an empty document."""
        from pyarrow import ArrowException

        with self._open() as file:
            for number, (first, rows, _) in enumerate(self._groups(file)):
                if first >= stop or first + rows <= start:
                    continue
                row = first
                try:
                    batches = file.iter_batches(
                        batch_size=1024,
                        row_groups=[number],
                        columns=[self.column],
                        use_threads=False,
                    )
                    for batch in batches:
                        after = row + len(batch)
                        wanted = slice(max(start, row) - row, max(0, min(stop, after) - row))
                        if row < stop and after > start:
                            for text in batch.column(0)[wanted].to_pylist():
                                yield text or ""
                        row = after
                        if row >= stop:
                            break
                except (ArrowException, OSError, UnicodeDecodeError) as error:
                    raise ValueError(
                        f"{self.path} cannot be read at row {row} or after: {error}"
                    ) from error

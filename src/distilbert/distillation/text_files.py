"""Text files, and JSON lines."""

import hashlib
import json
import os
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from distilbert.distillation.blocks import Part

MAX_DOCUMENT_BYTES = 256 << 20
_PROBE_BYTES = 1 << 16


def decode(line: bytes, path: str, offset: int) -> str:
    """Decode text of a file.

    Raises:
        ValueError: it is not UTF-8, or binary.
    """
    if offset == 0 and line.startswith((BOM_UTF16_LE, BOM_UTF16_BE)):
        raise ValueError(
            f"{path} is UTF-16, by the mark at its beginning; convert it with "
            "`iconv -f utf-16 -t utf-8`"
        )
    zero = line.find(b"\0")
    if zero >= 0:
        remedy = "it is binary, or text in UTF-16; convert it to UTF-8"
        raise ValueError(f"{path} is not text: a NUL byte at offset {offset + zero}; {remedy}")
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path} is not UTF-8: byte 0x{line[error.start]:02x} at offset "
            f"{offset + error.start} ({error.reason}); convert it from the encoding that it is in, "
            "for example with `iconv -f latin1 -t utf-8` (Western) or `-f gb18030` (Chinese)"
        ) from None


def too_long(path: str, offset: int) -> ValueError:
    """Return the error for a document that does not fit in memory."""
    return ValueError(
        f"{path} has a document of more than {MAX_DOCUMENT_BYTES >> 20} MB at offset {offset}; "
        "cut it into several"
    )


def lines_of(path: str, start: int, stop: int) -> Iterator[tuple[int, bytes]]:
    """Yield the lines that begin in a stretch of a file, with their offsets, ends included."""
    with open(path, "rb") as file:
        if start:
            file.seek(start - 1)
            while (rest := file.readline(1 << 20)) and not rest.endswith(b"\n"):
                pass
        offset = file.tell()
        while offset < stop:
            line = file.readline(MAX_DOCUMENT_BYTES + 1)
            if not line:
                return
            if len(line) > MAX_DOCUMENT_BYTES:
                raise too_long(path, offset)
            skipped = len(BOM_UTF8) if offset == 0 and line.startswith(BOM_UTF8) else 0
            yield offset + skipped, line[skipped:]
            offset += len(line)


@dataclass(frozen=True)
class TextFile:
    """A file, whatever is in it.

    Args:
        path: relative or absolute.
    """

    path: str

    @property
    def size_bytes(self) -> int:
        """Of the file."""
        return os.path.getsize(self.path)

    def fingerprint(self) -> str:
        """Return the hash of size and both ends: enough to notice another file, cheap for any."""
        size = os.path.getsize(self.path)
        digest = hashlib.sha256(str(size).encode())
        with open(self.path, "rb") as file:
            digest.update(file.read(_PROBE_BYTES))
            file.seek(max(0, size - _PROBE_BYTES))
            digest.update(file.read(_PROBE_BYTES))
        return digest.hexdigest()

    def check(self) -> None:
        """Find out whether it can be read."""
        with open(self.path, "rb") as file:
            file.read(1)


@dataclass(frozen=True)
class TextLines(TextFile):
    """A text file with a document per line."""

    def parts(self, at: Any, size_bytes: int) -> Iterator[tuple[Part, Any]]:
        """Cut at byte positions; a line belongs to the part that it begins in."""
        size = self.size_bytes
        for start in range(at or 0, size, size_bytes):
            stop = min(start + size_bytes, size)
            yield Part(self, start, stop, stop - start), stop

    def read(self, start: int, stop: int) -> Iterator[str]:
        """Yield lines."""
        for offset, line in lines_of(self.path, start, stop):
            yield decode(line.rstrip(b"\r\n"), self.path, offset)


@dataclass(frozen=True)
class RecordFile(TextLines):
    """A file of records that are a line each; the part at 0 begins with its header, if any."""

    column: str


def missing_column(path: str, column: str, columns: Iterable[str], where: str = "") -> ValueError:
    """Return the error for a column that is not there, with those that are."""
    names = ", ".join(map(str, columns)) or "none"
    return ValueError(
        f"{path} has no column {column!r}{where}; its columns are: {names}. "
        "Say which one with text_column"
    )


def text_of(value: Any, path: str, column: str, where: str) -> str:
    """Return the text in a column; nothing is an empty text.

    Raises:
        ValueError: it is something else.
    """
    if value is None:
        return ""
    if not isinstance(value, str):
        kind = type(value).__name__
        raise ValueError(f"{path}: {column!r} {where} is not text but of type {kind}")
    return value


def json_object(line: str, path: str, where: str) -> dict[str, Any]:
    """Return the JSON object in a line of a file.

    Args:
        where: the line's place, for the message of an error.

    Raises:
        ValueError: it is no JSON object.
    """
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f"{path} is not JSON lines: {where}: {error}. Every line must be a JSON object, whole"
        ) from None
    if not isinstance(record, dict):
        raise ValueError(
            f"{path} is not JSON lines: {where} is a {type(record).__name__}; every line must be "
            "a JSON object"
        )
    return record


@dataclass(frozen=True)
class JsonLines(RecordFile):
    """A JSON object per line."""

    def check(self) -> None:
        """Look at the first record."""
        next(self.read(0, 1), None)

    def read(self, start: int, stop: int) -> Iterator[str]:
        """Yield the column of each record; null is an empty document."""
        for offset, line in lines_of(self.path, start, stop):
            text = decode(line, self.path, offset).strip()
            if not text:
                continue
            where = f"at offset {offset}"
            record = json_object(text, self.path, where)
            if self.column not in record:
                raise missing_column(self.path, self.column, record, f" {where}")
            yield text_of(record[self.column], self.path, self.column, where)


@dataclass(frozen=True)
class WholeFile(TextFile):
    """A text file that is one document."""

    def parts(self, at: Any, size_bytes: int) -> Iterator[tuple[Part, Any]]:
        """Give the file."""
        if not at and self.size_bytes:
            yield Part(self, 0, self.size_bytes, self.size_bytes), 1

    def read(self, start: int, stop: int) -> Iterator[str]:
        """Yield the content."""
        if stop > MAX_DOCUMENT_BYTES:
            raise too_long(self.path, 0)
        with open(self.path, "rb") as file:
            content = file.read()
        yield decode(content, self.path, 0).removeprefix("\ufeff")

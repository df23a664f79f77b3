"""Inputs of pipelines from files, one record at a time: text, JSON lines, CSV and TSV."""

import csv
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from distilbert.distillation.text_files import MAX_DOCUMENT_BYTES, decode
from distilbert.tasks.tables import decoded_lines, json_records

STDIN = "-"
KINDS = {
    ".txt": "txt",
    ".text": "txt",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".csv": "csv",
    ".tsv": "tsv",
}

Record = tuple[int, dict[str, Any]]


def kind_of(path: str) -> str:
    """Return the kind of a file by its name; standard input is text.

    Raises:
        ValueError: the name says none.

    >>> kind_of("reviews.jsonl"), kind_of("-")
    ('jsonl', 'txt')
    """
    suffix = Path(path).suffix.lower()
    if path != STDIN and suffix not in KINDS:
        raise ValueError(
            f"{path} does not say what it is by its name ({', '.join(KINDS)}): say it with "
            "input_format"
        )
    return "txt" if path == STDIN else KINDS[suffix]


def read_records(path: str, kind: str) -> Iterator[Record]:
    """Yield the line of each record, and its values by column.

    A line of text is a record with the column `text`; CSV is RFC 4180, TSV has no quoting, both
    have a header. Empty lines of JSON lines, CSV and TSV are no records.

    Args:
        path: a file, or "-" for standard input.
        kind: txt, jsonl, csv or tsv.

    Raises:
        OSError: there is no such file, or it cannot be read.
        ValueError: it is not UTF-8, or not of this kind.
    """
    if kind == "txt":
        for number, line in enumerate(_lines(path), 1):
            yield number, {"text": line.rstrip("\r\n")}
    elif kind == "jsonl":
        yield from json_records(path, _lines(path))
    elif kind in ("csv", "tsv"):
        yield from _table(path, kind)
    else:
        raise ValueError(f"input_format must be txt, jsonl, csv or tsv; got {kind!r}")


def _lines(path: str) -> Iterator[str]:
    if path == STDIN:
        offset = 0
        for line in sys.stdin.buffer:
            yield decode(line, path, offset)
            offset += len(line)
        return
    if not Path(path).is_file():
        raise FileNotFoundError(f"there is no file {path} (a pipe is read as {STDIN})")
    yield from decoded_lines(path)


def _table(path: str, kind: str) -> Iterator[Record]:
    csv.field_size_limit(MAX_DOCUMENT_BYTES)
    rows = (
        csv.reader(_lines(path), strict=True)
        if kind == "csv"
        else csv.reader(_lines(path), delimiter="\t", quoting=csv.QUOTE_NONE)
    )
    header: list[str] | None = None
    try:
        for row in rows:
            if not row:
                continue
            if header is None:
                header = row
                twice = [name for name in header if header.count(name) > 1]
                if twice:
                    raise ValueError(f"{path} has two columns {twice[0]!r}")
                continue
            if len(row) != len(header):
                raise ValueError(
                    f"{path}: the record that ends in line {rows.line_num} has {len(row)} fields, "
                    f"the header {len(header)}"
                )
            yield rows.line_num, dict(zip(header, row, strict=True))
    except csv.Error as error:
        raise ValueError(f"{path} is not {kind.upper()}: line {rows.line_num}: {error}") from None

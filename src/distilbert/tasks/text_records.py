"""Records of lines of text, one after the other, each with its line: CSV, TSV and JSON lines.

CSV is RFC 4180, TSV has no quoting (GLUE's files).
"""

import csv
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from distilbert.distillation.text_files import MAX_DOCUMENT_BYTES, decode, json_object, lines_of

Records = Iterable[tuple[int, list[str]]]


def decoded_lines(path: str) -> Iterator[str]:
    """Yield the lines of a text file, ends included.

    Raises:
        ValueError: it is not UTF-8; the message says where and how to convert it.
    """
    for offset, line in lines_of(path, 0, Path(path).stat().st_size):
        yield decode(line, path, offset)


def csv_records(path: str, lines: Iterable[str]) -> Records:
    """Yield the line in which each record of a CSV file begins, from 1, and its fields.

    An empty line is no record; `""` is one, with an empty field.

    Args:
        path: where the lines are from, for the message of an error.

    Raises:
        ValueError: it is not CSV.
    """
    csv.field_size_limit(MAX_DOCUMENT_BYTES)
    reader = csv.reader(lines, strict=True)
    before = 0
    try:
        for fields in reader:
            if fields:
                yield before + 1, fields
            before = reader.line_num
    except csv.Error as error:
        raise ValueError(f"{path} is not CSV: line {before + 1}: {error}") from None


def tsv_records(lines: Iterable[str]) -> Records:
    """Yield the number of each line of a TSV file, from 1, and its fields; skip empty lines."""
    for number, line in enumerate(lines, 1):
        if line := line.rstrip("\r\n"):
            yield number, line.split("\t")


def named(path: str, records: Records) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the line of each record and its fields by column; the first record names the columns.

    Args:
        path: where the records are from, for the message of an error.

    Raises:
        ValueError: two columns have one name, or a record has more fields or fewer.
    """
    rest = iter(records)
    _, header = next(rest, (0, []))
    twice = [name for name in header if header.count(name) > 1]
    if twice:
        raise ValueError(f"{path} has two columns {twice[0]!r}")
    for number, fields in rest:
        if len(fields) != len(header):
            raise ValueError(
                f"{path}: the record of line {number} has {len(fields)} fields, the header "
                f"has {len(header)}"
            )
        yield number, dict(zip(header, fields, strict=True))


def json_records(path: str, lines: Iterable[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the number of each line, from 1, and the JSON object in it; empty lines have none.

    Args:
        path: where the lines are from, for the message of an error.

    Raises:
        ValueError: a line is no JSON object.
    """
    for number, line in enumerate(lines, 1):
        if line.strip():
            yield number, json_object(line, path, f"line {number}")

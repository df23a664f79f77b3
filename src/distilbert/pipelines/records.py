"""Inputs of pipelines from files (text, JSON lines, CSV, TSV), and answers as JSON."""

import json
import sys
from codecs import BOM_UTF8
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from distilbert.distillation.text_files import decode
from distilbert.tasks.text_records import (
    csv_records,
    decoded_lines,
    json_records,
    named,
    tsv_records,
)

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
    """Yield the line in which each record begins, and its values by column.

    A line of text is a record with the column `text`; CSV is RFC 4180, TSV has no quoting, both
    have a header. Empty lines of JSON lines, CSV and TSV are no records; the files are read as in
    fine-tuning.

    Args:
        path: a file, or "-" for standard input.
        kind: txt, jsonl, csv or tsv.

    Raises:
        OSError: there is no such file, or it cannot be read; or standard input is closed.
        ValueError: it is not UTF-8, or not of this kind.
    """
    if kind == "txt":
        for number, line in enumerate(_lines(path), 1):
            yield number, {"text": line.rstrip("\r\n")}
    elif kind == "jsonl":
        yield from json_records(path, _lines(path))
    elif kind == "csv":
        yield from named(path, csv_records(path, _lines(path)))
    elif kind == "tsv":
        yield from named(path, tsv_records(_lines(path)))
    else:
        raise ValueError(f"input_format must be txt, jsonl, csv or tsv; got {kind!r}")


def as_json(content: Any) -> str:
    """Return JSON of what pipelines answer, on one line.

    Raises:
        ValueError: there is NaN or infinity in it, which JSON does not have.

    >>> as_json({"label": "café", "vector": np.zeros(2)})
    '{"label": "café", "vector": [0.0, 0.0]}'
    """
    return json.dumps(content, ensure_ascii=False, default=np.ndarray.tolist, allow_nan=False)


def _lines(path: str) -> Iterator[str]:
    if path == STDIN:
        if sys.stdin is None:  # as Python has it where a process is started without
            raise OSError("standard input is closed: name a file, or pipe the texts in")
        offset = 0
        for line in sys.stdin.buffer:
            # Files that begin with this mark lose it too.
            mark = len(BOM_UTF8) if offset == 0 and line.startswith(BOM_UTF8) else 0
            yield decode(line[mark:], path, offset + mark)
            offset += len(line)
        return
    if not Path(path).is_file():
        raise FileNotFoundError(f"there is no file {path} (a pipe is read as {STDIN})")
    yield from decoded_lines(path)

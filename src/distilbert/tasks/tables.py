"""Tables of examples, read whole: CSV, TSV, JSON lines, Parquet and data sets of the hub.

CSV and TSV have a header; hub data sets are `hf:NAME[:CONFIG[:SPLIT]]`.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from distilbert.distillation.hub_stream import hub_stream
from distilbert.extras import require
from distilbert.tasks.text_records import (
    Records,
    csv_records,
    decoded_lines,
    json_records,
    named,
    tsv_records,
)
from distilbert.tokenization.text import check_text


@dataclass(frozen=True)
class Table:
    """Columns of equal length.

    Args:
        path: where it was read.
        columns: the values by column.
        class_names: what the numbers of a column stand for, where the file says so.
        lines: the line of the file that each row begins in; none where rows have no lines.
        rows: numbers of the rows in the file, from 1; none where these are all of them.
    """

    path: str
    columns: dict[str, list[Any]]
    class_names: dict[str, list[str]] = field(default_factory=dict)
    lines: list[int] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), []))

    def column(self, name: str, setting: str | None = None) -> list[Any]:
        """Return a column.

        Args:
            setting: the setting that names it, for the message; none where it has one name only.

        Raises:
            ValueError: there is none of this name; the message lists those there are.
        """
        if name not in self.columns:
            there = ", ".join(self.columns) or "none"
            remedy = f". Say which one with {setting}" if setting else ""
            raise ValueError(
                f"{self.path} has no column {name!r}; its columns are: {there}{remedy}"
            )
        return self.columns[name]

    def where(self, row: int) -> str:
        """Return the place of a row, for messages."""
        if self.lines:
            return f"{self.path}, line {self.lines[row]}"
        return f"{self.path}, row {self.rows[row] if self.rows else row + 1}"

    def check_text(self, row: int, column: str, text: str) -> None:
        """Check that a text of a row can be encoded.

        Raises:
            ValueError: it has a lone surrogate; the message names the row.
        """
        try:
            check_text(text)
        except ValueError as error:
            raise ValueError(f"{self.where(row)}: {column!r}: {error}") from None

    def take(self, rows: Iterable[int]) -> "Table":
        """Return some of the rows."""
        kept = list(rows)
        return replace(
            self,
            columns={name: [values[i] for i in kept] for name, values in self.columns.items()},
            lines=[self.lines[i] for i in kept] if self.lines else [],
            rows=[self.rows[i] if self.rows else i + 1 for i in kept],
        )


def read_table(path: str, header: Sequence[str] = ()) -> Table:
    """Read a file or a data set of the hub.

    Args:
        header: of a TSV file without one; other files have theirs.

    Raises:
        ImportError: Parquet without pyarrow, or the hub without datasets.
        OSError: there is no such file, or it cannot be read.
        ValueError: it is of another kind, damaged, not UTF-8, or empty.
    """
    if path.startswith("hf:"):
        table = _from_hub(path)
    else:
        suffix = Path(path).suffix.lower()
        if suffix not in _READERS:
            raise ValueError(
                f"{path} is of no kind that is read here: name it {', '.join(_READERS)} or "
                "hf:NAME[:CONFIG[:SPLIT]]"
            )
        if not Path(path).is_file():
            raise FileNotFoundError(f"there is no file {path}")
        table = _tsv(path, header) if suffix == ".tsv" else _READERS[suffix](path)
    if not len(table):
        raise ValueError(f"{path} has no rows")
    return table


def share_of(setting: str) -> float | None:
    """Return the share of rows that a setting names, or None if it names a file.

    Raises:
        ValueError: a number that is not between 0 and 1.

    >>> share_of("0.1"), share_of("dev.csv")
    (0.1, None)
    """
    try:
        share = float(setting)
    except ValueError:
        return None
    if not 0 < share < 1:
        raise ValueError(f"a share of the rows must be above 0 and below 1, got {setting}")
    return share


def held_out(table: Table, share: float) -> tuple[Table, Table]:
    """Return the other rows, and a share of all that is drawn at random, always the same.

    Raises:
        ValueError: there is one row only.
    """
    count = len(table)
    if count < 2:
        raise ValueError(f"{table.path} has one row: none can be held out")
    drawn = min(max(round(share * count), 1), count - 1)
    order = np.random.default_rng(0).permutation(count)
    rest, chosen = np.sort(order[drawn:]), np.sort(order[:drawn])
    return table.take(rest.tolist()), table.take(chosen.tolist())


def fingerprint(path: str) -> str:
    """Return what changes when the content does: of a file its SHA-256, of a folder also names."""
    if path.startswith("hf:"):
        return hub_stream(path, "").fingerprint()
    if not Path(path).is_dir():
        return _sha256(Path(path))
    files = sorted(Path(path).rglob("*.txt"))  # whose folders are their labels
    named = [f"{file.relative_to(path).as_posix()}\0{_sha256(file)}\n" for file in files]
    return hashlib.sha256("".join(named).encode()).hexdigest()


def _sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _csv(path: str) -> Table:
    return _of_records(path, csv_records(path, decoded_lines(path)))


def _tsv(path: str, header: Sequence[str] = ()) -> Table:
    records = tsv_records(decoded_lines(path))
    return _of_records(path, chain([(0, list(header))] if header else [], records))


def _of_records(path: str, records: Records) -> Table:
    columns: dict[str, list[Any]] = {}
    lines = []
    for number, record in named(path, records):
        lines.append(number)
        for name, value in record.items():
            columns.setdefault(name, []).append(value)
    return Table(path, columns, lines=lines)


def _json_lines(path: str) -> Table:
    found = list(json_records(path, decoded_lines(path)))
    names = list(dict.fromkeys(name for _, record in found for name in record))
    columns = {name: [record.get(name) for _, record in found] for name in names}
    return Table(path, columns, lines=[number for number, _ in found])


def _parquet(path: str) -> Table:
    parquet = require("pyarrow.parquet")
    from pyarrow import ArrowException

    try:
        content = parquet.read_table(path)
        columns = {name: content[name].to_pylist() for name in content.column_names}
    except (ArrowException, OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not a readable Parquet file: {error}") from error
    return Table(path, columns, _class_names(content.schema.metadata or {}, columns))


def _class_names(metadata: dict[bytes, bytes], columns: Iterable[str]) -> dict[str, list[str]]:
    """Read the names of classes from a Parquet schema: `datasets`' way, or one key a column."""
    found = {}
    features: dict[str, Any] = {}
    if b"huggingface" in metadata:
        features = json.loads(metadata[b"huggingface"]).get("info", {}).get("features", {})
    for name in columns:
        feature = features.get(name, {})
        inner = feature.get("feature", feature) if isinstance(feature, dict) else {}
        names = inner.get("names") if isinstance(inner, dict) else None
        key = f"{name.removesuffix('s')}_names".encode()
        if names is None and key in metadata:
            names = json.loads(metadata[key])
        if names:
            found[name] = [str(each) for each in names]
    return found


def _from_hub(path: str) -> Table:
    content = hub_stream(path, "").open(streaming=False)
    names = {}
    for name, feature in content.features.items():
        classes = getattr(getattr(feature, "feature", feature), "names", None)
        if classes:
            names[name] = list(classes)
    return Table(path, content.to_dict(), names)


_READERS: dict[str, Callable[[str], Table]] = {
    ".csv": _csv,
    ".tsv": _tsv,
    ".jsonl": _json_lines,
    ".ndjson": _json_lines,
    ".json": _json_lines,
    ".parquet": _parquet,
}

"""Where text comes from: files, folders and hub data sets.

Formats: text (`.txt` and whatever is not one of the others: a document per line, or per file),
JSON lines, Parquet, CSV (RFC 4180, quoted line breaks allowed), TSV (no quoting, as IANA defines
it), each with a column of text; `hf:NAME[:CONFIG[:SPLIT]]` streams a data set of the hub.
"""

import hashlib
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from distilbert.distillation.blocks import TextSource
from distilbert.distillation.hub_stream import hub_stream
from distilbert.distillation.tables import CsvFile, ParquetFile, TsvFile
from distilbert.distillation.text_files import JsonLines, TextFile, TextLines, WholeFile

_logger = logging.getLogger("distilbert")

_KINDS: dict[str, Callable[[str, str], TextSource]] = {
    **dict.fromkeys((".jsonl", ".ndjson", ".json"), JsonLines),
    ".parquet": ParquetFile,
    ".csv": CsvFile,
    ".tsv": TsvFile,
}
_TEXT = (".txt", ".text", ".md", ".raw", ".tokens")
_COMPRESSED = (".gz", ".bz2", ".xz", ".zst", ".zip", ".7z", ".tar")


def open_sources(
    names: Sequence[str], text_column: str = "text", documents: str = "line"
) -> tuple[list[TextSource], list[dict[str, Any]]]:
    """Find every file and return (sources, what the manifest says of each name).

    Args:
        names: paths of files or folders, or `hf:NAME[:CONFIG[:SPLIT]]`. Folders are searched to
            any depth; files whose names begin with a dot, or end as no text does, are left out
            and listed.
        text_column: where the text is in JSON lines, Parquet, CSV and TSV.
        documents: "line" or "file": what a document of a text file is.

    Raises:
        ImportError: Parquet without pyarrow, or the hub without datasets.
        OSError: there is no such file, or it cannot be read.
        ValueError: a column is missing, a file is of a kind that cannot be read, or it is in two
            of the sources.
    """
    if documents not in ("line", "file"):
        raise ValueError(f'documents={documents!r}; it is "line" or "file"')
    if not names:
        raise ValueError("there is nothing to read: give files, folders or hf:NAME as sources")
    sources: list[TextSource] = []
    described = []
    first: dict[str, int] = {}  # which of the names gave a file
    for number, name in enumerate(names):
        left_out: list[str] = []
        if name.startswith("hf:"):
            found: list[TextSource] = [hub_stream(name, text_column)]
        else:
            paths = _files(Path(name), left_out)
            found = [_source(path, text_column, documents) for path in paths]
        digest = hashlib.sha256()
        for source in found:
            earlier = first.setdefault(os.path.realpath(source.path), number)
            if earlier != number:
                raise ValueError(
                    f"{source.path} is given twice, by the sources {names[earlier]} and {name}; "
                    "leave one of them out"
                )
            source.check()
            inside = os.path.relpath(source.path, name) if not name.startswith("hf:") else name
            digest.update(os.fsencode(inside) + f"\0{source.fingerprint()}\n".encode())
        described.append(
            {
                "name": _utf8(name),
                "files": len(found),
                "size_bytes": sum(source.size_bytes for source in found),
                "sha256": digest.hexdigest(),
                "left_out": len(left_out),
                "left_out_first": [_utf8(file) for file in left_out[:10]],
            }
        )
        sources += found
    return sources, described


def warn_of_left_out(described: Sequence[Mapping[str, Any]]) -> None:
    """Warn of the files of folders that `open_sources` does not read."""
    for source in described:
        if source["left_out"]:
            _logger.warning(
                "%s: %d files are left out, as they do not look like text: %s …",
                source["name"],
                source["left_out"],
                ", ".join(source["left_out_first"]),
            )


def times_of(sources: Sequence[TextSource]) -> dict[str, int]:
    """Return when each file was last written to, in ns: an edit that leaves the size shows."""
    files = [source.path for source in sources if isinstance(source, TextFile)]
    return {_utf8(path): os.stat(path).st_mtime_ns for path in files}


def _utf8(name: str) -> str:
    """Return a file name with `\\xe9` for a byte that is not UTF-8, which JSON cannot hold."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def _files(path: Path, left_out: list[str]) -> list[Path]:
    if path.is_file():
        if path.suffix.lower() in _COMPRESSED:
            raise ValueError(f"{path} is compressed; decompress it first")
        return [path]
    if not path.is_dir():
        raise FileNotFoundError(f"there is no file or folder {path} (a hub data set is hf:NAME)")
    files = sorted(
        file
        for file in path.rglob("*")
        if file.is_file() and not any(p.startswith(".") for p in file.relative_to(path).parts)
    )
    known = {*_KINDS, *_TEXT, ""}
    kept = [file for file in files if file.suffix.lower() in known]
    left_out += [str(f.relative_to(path)) for f in files if f.suffix.lower() not in known]
    if not kept:
        raise ValueError(
            f"{path} has no text: of its {len(files)} files none ends in "
            f"{' '.join(sorted(known - {''}))}"
        )
    return kept


def _source(path: Path, column: str, documents: str) -> TextSource:
    kind = _KINDS.get(path.suffix.lower())
    if kind is not None:
        return kind(str(path), column)
    return TextLines(str(path)) if documents == "line" else WholeFile(str(path))

import io
import types

import pytest

from distilbert.pipelines.records import kind_of, read_records
from distilbert.tasks.tables import read_table


@pytest.fixture
def read(tmp_path):
    def reader(content, kind):
        path = tmp_path / f"input.{kind}"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return list(read_records(str(path), kind))

    return reader


def test_text(read):
    assert read("é a\r\n\nb", "txt") == [
        (1, {"text": "é a"}),
        (2, {"text": ""}),
        (3, {"text": "b"}),
    ]


def test_json_lines(read):
    assert read('{"a": 1}\n\n{"b": [2]}', "jsonl") == [(1, {"a": 1}), (3, {"b": [2]})]


def test_csv(read):
    found = read('a,b\n1,"x, ""y""\nz"\n\n2,\n', "csv")
    assert found == [(2, {"a": "1", "b": 'x, "y"\nz'}), (5, {"a": "2", "b": ""})]


def test_tsv_has_no_quotes(read):
    assert read('a\tb\n"1\t2\n', "tsv") == [(2, {"a": '"1', "b": "2"})]


@pytest.mark.parametrize(
    ("content", "kind", "rows"),
    [
        ("a\tb\nx\ry\t1\n\nz\t\n", "tsv", [(2, ("x\ry", "1")), (4, ("z", ""))]),
        ('a,b\n"x\ny",1\n\nz,\n', "csv", [(2, ("x\ny", "1")), (5, ("z", ""))]),
        ('a\nx\n\n""\ny\n', "csv", [(2, ("x",)), (4, ("",)), (5, ("y",))]),
    ],
)
def test_files_are_read_as_in_fine_tuning(read, tmp_path, content, kind, rows):
    found = read(content, kind)
    assert [(line, tuple(record.values())) for line, record in found] == rows
    table = read_table(str(tmp_path / f"input.{kind}"))
    read_whole = zip(table.lines, zip(*table.columns.values(), strict=True), strict=True)
    assert list(read_whole) == rows


@pytest.mark.parametrize(
    ("content", "kind", "message"),
    [
        ('a,b\n1,2\n""\n', "csv", "the record of line 3 has 1 fields, the header has 2"),
        ('a,b\n"1\n",2\n"3\n\n\n', "csv", "is not CSV: line 4: "),
        ("a\tb\n\n1\n", "tsv", "the record of line 3 has 1 fields, the header has 2"),
        ("a,b,a\n1,2,3\n", "csv", "two columns 'a'"),
    ],
)
def test_errors_are_those_of_fine_tuning(read, tmp_path, content, kind, message):
    with pytest.raises(ValueError, match=message):
        read(content, kind)
    with pytest.raises(ValueError, match=message):
        read_table(str(tmp_path / f"input.{kind}"))


def test_a_table_is_read_lazily(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("a,b\n1,2\n3\n", encoding="utf-8")
    records = read_records(str(path), "csv")
    assert next(records) == (2, {"a": "1", "b": "2"})
    with pytest.raises(ValueError, match="line 3 has 1 fields"):
        next(records)


def test_what_is_no_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is no file .* \(a pipe is read as -\)"):
        next(read_records(str(tmp_path), "txt"))


def test_standard_input(monkeypatch):
    for mark in ("", "\ufeff"):
        stdin = types.SimpleNamespace(buffer=io.BytesIO(f"{mark}é\nb\n".encode()))
        monkeypatch.setattr("sys.stdin", stdin)
        assert [record["text"] for _, record in read_records("-", "txt")] == ["é", "b"]


def test_standard_input_that_is_closed(monkeypatch):
    monkeypatch.setattr("sys.stdin", None)
    with pytest.raises(OSError, match="standard input is closed"):
        next(read_records("-", "txt"))


@pytest.mark.parametrize(
    ("content", "kind", "message"),
    [
        ("{", "jsonl", "is not JSON lines: line 1: "),
        ("{}\n[1]", "jsonl", "line 2 is a list; every line must be a JSON object"),
        ("a,b\n1\n", "csv", "the record of line 2 has 1 fields, the header has 2"),
        ("a,a\n", "csv", "two columns 'a'"),
        ('a\n"x', "csv", "is not CSV: line 2: "),
        (b"caf\xe9", "txt", "UTF-8"),
        ("a", "xml", "input_format must be txt, jsonl, csv or tsv; got 'xml'"),
    ],
)
def test_bad_files(read, content, kind, message):
    with pytest.raises(ValueError, match=message):
        read(content, kind)


def test_kinds():
    assert [kind_of(name) for name in ("a.TXT", "b.ndjson", "c.csv", "d.tsv")] == [
        "txt",
        "jsonl",
        "csv",
        "tsv",
    ]
    with pytest.raises(ValueError, match=r"a\.parquet does not say .*input_format"):
        kind_of("a.parquet")

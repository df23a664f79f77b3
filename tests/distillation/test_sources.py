"""Every format gives the same documents, wherever it is cut; what cannot be read is named."""

import csv
import json
import os
from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distilbert.distillation.blocks import START, blocks
from distilbert.distillation.sources import open_sources

DOCUMENTS = ["one", 'two "quoted", with comma', "drei äöü 中文", "", "five\tx", "six" * 50, "seven"]
MULTILINE = [*DOCUMENTS, "line\nbreaks\r\nin, it", "last"]


def read(names, size=10**6, **options):
    sources, _ = open_sources([str(name) for name in names], **options)
    return [document for block in blocks(sources, size) for document in block.documents()]


def write(path, documents):
    kind = path.suffix
    if kind == ".txt":
        path.write_text("\n".join(documents) + "\n", encoding="utf-8")
    elif kind == ".jsonl":
        lines = [json.dumps({"id": i, "text": d}) for i, d in enumerate(documents)]
        path.write_text("\n".join(lines) + "\n")
    elif kind == ".tsv":
        lines = ["id\ttext", *(f"{i}\t{d}" for i, d in enumerate(documents))]
        path.write_text("\n".join(lines), encoding="utf-8")
    elif kind == ".csv":
        with path.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([["id", "text"], *enumerate(documents)])
    else:
        pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
        table = pa.table({"id": range(len(documents)), "text": documents})
        pq.write_table(table, path, row_group_size=4)
    return path


@pytest.mark.parametrize("kind", ["txt", "jsonl", "tsv", "csv", "parquet"])
def test_every_format_wherever_it_is_cut(tmp_path, kind):
    documents = MULTILINE if kind in ("jsonl", "csv", "parquet") else DOCUMENTS
    if kind == "tsv":
        documents = [document.replace("\t", " ") for document in documents]
    path, second = (write(tmp_path / f"{name}.{kind}", documents) for name in ("data", "again"))
    for size in (1, 2, 3, 7, 20, 50, 10**6):
        assert read([path], size) == documents
        sources, _ = open_sources([str(path), str(second)])
        cut = list(blocks(sources, size))
        assert [block.number for block in cut] == list(range(len(cut)))
        for first in (0, len(cut) // 2, len(cut) - 1):  # go on from any cursor, through JSON
            cursor = tuple(json.loads(json.dumps(cut[first].after)))
            assert list(blocks(sources, size, cursor, first + 1)) == cut[first + 1 :]
        assert list(blocks(sources, size, START)) == cut


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=9)
    ),
    st.integers(1, 40),
)
def test_csv_and_json_bring_back_any_text(tmp_path_factory, documents, size):
    folder = tmp_path_factory.mktemp("any")
    for name in ("data.csv", "data.jsonl"):
        assert read([write(folder / name, documents)], size) == documents


def test_folders_are_searched_and_what_is_left_out_is_listed(tmp_path):
    (tmp_path / "deep").mkdir()
    write(tmp_path / "b.txt", ["b"])
    write(tmp_path / "deep" / "a.jsonl", ["a"])
    (tmp_path / "empty.csv").touch()
    (tmp_path / ".hidden.txt").write_text("no")
    (tmp_path / "image.png").write_bytes(b"\x89PNG\0")
    assert read([tmp_path]) == ["b", "a"]
    _, [described] = open_sources([str(tmp_path)])
    assert (described["files"], described["left_out_first"]) == (3, ["image.png"])
    (tmp_path / "only").mkdir()
    (tmp_path / "only" / "x.png").touch()
    with pytest.raises(ValueError, match="has no text"):
        read([tmp_path / "only"])


def test_a_file_may_be_one_document(tmp_path):
    for name in ("a", "b"):
        (tmp_path / f"{name}.txt").write_bytes(f"\ufeff{name}\nmore\n".encode())
    (tmp_path / "c.txt").touch()
    assert read([tmp_path], documents="file") == ["a\nmore\n", "b\nmore\n"]
    assert read([tmp_path]) == ["a", "more", "b", "more"]
    assert read([tmp_path], 1, documents="file") == ["a\nmore\n", "b\nmore\n"]
    with pytest.raises(ValueError, match="documents='page'"):
        read([tmp_path], documents="page")


def test_byte_order_mark_and_windows_line_ends(tmp_path):
    for kind, content in (
        ("txt", "a\r\nb\r\n"), ("tsv", "text\r\na\r\nb"), ("csv", "text\r\na\r\nb\r\n"),
        ("jsonl", '{"text": "a"}\r\n\r\n{"text": "b"}'),
    ):  # fmt: skip
        path = tmp_path / f"data.{kind}"
        path.write_bytes(b"\xef\xbb\xbf" + content.encode())
        for size in (1, 5, 100):
            assert read([path], size) == ["a", "b"]


def test_a_long_line(tmp_path):
    text = "word " * 2_000_000
    path = tmp_path / "long.txt"
    path.write_text(f"first\n{text}\nlast")
    assert read([path], 1_000_000) == ["first", text, "last"]


BAD = {
    "a.txt": (b"fine\nnot \xe9t\xe9\n", r"a\.txt is not UTF-8: byte 0xe9 at offset 9"),
    "b.txt": (b"fine\nbin\0ary", r"b\.txt is not text: a NUL byte at offset 8"),
    "utf16.txt": ("fine".encode("utf-16"), r"utf16\.txt is UTF-16.*iconv -f utf-16 -t utf-8"),
    "utf16be.csv": (b"\xfe\xff" + "好".encode("utf-16-be"), r"utf16be\.csv is UTF-16, by the mark"),
    "bare.txt": ("fine".encode("utf-16-le"), r"bare\.txt is not text: a NUL byte at offset 1"),
    "gb.txt": ("好".encode("gb18030"), r"from the encoding that it is in.*-f gb18030.*Chinese"),
    "c.jsonl": (b'{"title": "x", "body": "y"}\n', r"no column 'text'.*: title, body"),
    "d.jsonl": (
        b'{"text": "x"}\n{"text": 3}\n',
        r"'text' at offset 14 is not text but of type int",
    ),
    "e.jsonl": (b'{"text": "x"}\n{"text": "y\n', r"e\.jsonl is not JSON lines: at offset 14"),
    "f.json": (b'[{"text": "x"}]\n', r"f\.json is not JSON lines: at offset 0 is a list"),
    "g.csv": (b"a,b\n1,2\n", r"no column 'text'; its columns are: a, b"),
    "h.csv": (b"text,b\n1\n", r"record at offset 7 has 1 fields, the header has 2"),
    "i.csv": (b'text\n"open\n', r"i\.csv is not CSV: the record at offset 5"),
    "j.tsv": (b"a\tb\n1\t2\n", r"no column 'text'; its columns are: a, b"),
    "k.tsv": (b"a\ttext\n1\n", r"record at offset 7 has 1 fields, the header has 2"),
    "l.parquet": (b"PAR1 junk", r"l\.parquet is not a readable Parquet file"),
    "m.txt.gz": (b"\x1f\x8b", r"m\.txt\.gz is compressed; decompress it first"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_files_are_named_with_the_place(tmp_path, name):
    content, message = BAD[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read([tmp_path / name])


def test_bad_parquet_columns(tmp_path):
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "data.parquet"
    pair = pa.array([["a", "b"]], pa.list_(pa.string(), 2))
    pq.write_table(pa.table({"number": [1], "words": [["a"]], "pair": pair}), path)
    with pytest.raises(ValueError, match="no column 'body'; its columns are: number, words, pair"):
        read([path], text_column="body")
    for column in ("number", "words", "pair"):
        with pytest.raises(ValueError, match="is not text but of type"):
            read([path], text_column=column)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ValueError, match="not a readable Parquet"):
        read([path])


def test_every_type_of_text_in_parquet(tmp_path):
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    texts = pa.array(["a", None, "b"])
    indices = pa.dictionary(pa.int32(), pa.string())
    for number, kind in enumerate((pa.string(), pa.large_string(), pa.string_view(), indices)):
        path = tmp_path / f"{number}.parquet"
        pq.write_table(pa.table({"text": texts.cast(kind)}), path)
        assert read([path]) == ["a", "", "b"]


def test_a_name_that_is_not_utf8(tmp_path):
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    try:
        folder.mkdir()
    except OSError:
        pytest.skip("the file system takes no such name")
    write(folder / os.fsdecode(b"\xe9.txt"), ["a"])
    (folder / os.fsdecode(b"\xe9.png")).touch()
    assert read([folder]) == ["a"]
    _, [described] = open_sources([str(folder)])
    assert json.dumps(described, ensure_ascii=False).encode()
    assert described["name"].endswith("caf\\xe9")
    assert described["left_out_first"] == ["\\xe9.png"]
    table = folder / os.fsdecode(b"\xe9.parquet")
    write(tmp_path / "a.parquet", ["a"]).rename(table)
    with pytest.raises(ValueError, match=r"\.parquet has a name that is not UTF-8.*rename"):
        read([table])


def test_a_file_in_two_sources(tmp_path):
    path = write(tmp_path / "a.txt", ["a"])
    (tmp_path / "link.txt").symlink_to(path)
    assert read([tmp_path]) == ["a", "a"]  # a folder may hold it under two names
    for twice in (
        [path, path],
        [path, tmp_path],
        [path, tmp_path / ".." / tmp_path.name / "a.txt"],
    ):
        with pytest.raises(ValueError, match=r"a\.txt is given twice, by the sources .* and "):
            read(twice)


def test_no_source():
    with pytest.raises(FileNotFoundError, match="no file or folder nowhere"):
        open_sources(["nowhere"])
    with pytest.raises(ValueError, match="nothing to read"):
        open_sources([])
    with pytest.raises(ValueError, match="not of the form"):
        open_sources(["hf:a:b:c:d"])


@pytest.mark.filterwarnings("ignore")
def test_data_sets_are_streamed_and_continued(tmp_path):
    pytest.importorskip("datasets")
    documents = [f"document {number}" for number in range(23)]
    for shard in range(3):
        write(tmp_path / f"train-{shard}.jsonl", documents[shard::3])
    everything = documents[0::3] + documents[1::3] + documents[2::3]
    name = f"hf:{tmp_path}::train"
    assert read([name], 30) == everything
    sources, _ = open_sources([name])
    for size in (15, 40):
        cut = list(blocks(sources, size))
        for first in range(0, len(cut), 3):
            cursor = tuple(json.loads(json.dumps(cut[first].after)))
            again = list(islice(blocks(sources, size, cursor, first + 1), 2))
            assert [list(b.documents()) for b in again] == [
                list(b.documents()) for b in cut[first + 1 : first + 3]
            ]
    with pytest.raises(ValueError, match=r"no column 'body'.*: id, text"):
        open_sources([name], text_column="body")
    with pytest.raises(OSError, match="cannot be opened"):
        open_sources([f"hf:{tmp_path}/missing"])

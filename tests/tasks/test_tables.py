"""Tables of every format, whole or refused with a word on what is wrong."""

import json

import pytest

from distilbert.tasks.tables import Table, fingerprint, held_out, read_table, share_of


def write(folder, name, content):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(path)


def test_csv(tmp_path):
    content = '\ufefftext,label\r\n"two\r\nlines, ""quoted""",yes\r\n\r\nplain é,no\r\n'
    table = read_table(write(tmp_path, "a.csv", content))
    assert table.columns == {"text": ['two\r\nlines, "quoted"', "plain é"], "label": ["yes", "no"]}
    assert len(table) == 2
    assert table.where(0).endswith("a.csv, line 2")
    assert table.where(1).endswith("a.csv, line 5")
    assert table.take([1]).columns["label"] == ["no"]
    assert table.take([1]).where(0).endswith("line 5")


def test_tsv_has_no_quotes(tmp_path):
    table = read_table(write(tmp_path, "a.tsv", 'sentence\tlabel\nhe said "so\t1\n\nb\t0\n'))
    assert table.columns == {"sentence": ['he said "so', "b"], "label": ["1", "0"]}
    assert table.where(1).endswith("line 4")


def test_json_lines(tmp_path):
    lines = '{"text": "a", "label": 1}\n\n{"label": 0, "text": "b", "more": null}\n'
    table = read_table(write(tmp_path, "a.jsonl", lines))
    assert table.columns == {"text": ["a", "b"], "label": [1, 0], "more": [None, None]}
    assert table.where(1).endswith("line 3")


def test_parquet(tmp_path):
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    table = pa.table({"text": ["a", "b"], "label": [1, 0], "tags": [[0], [1, 0]]})
    own = {"label_names": json.dumps(["no", "yes"]), "tag_names": json.dumps(["O", "B-X"])}
    pq.write_table(table.replace_schema_metadata(own), tmp_path / "own.parquet")
    read = read_table(str(tmp_path / "own.parquet"))
    assert read.columns == {"text": ["a", "b"], "label": [1, 0], "tags": [[0], [1, 0]]}
    assert read.class_names == {"label": ["no", "yes"], "tags": ["O", "B-X"]}
    assert read.where(1).endswith("row 2")


def test_parquet_of_datasets(tmp_path, monkeypatch):
    datasets = pytest.importorskip("datasets")
    features = datasets.Features(
        text=datasets.Value("string"),
        label=datasets.ClassLabel(names=["no", "yes"]),
        tags=datasets.Sequence(datasets.ClassLabel(names=["O", "B-X"])),
    )
    content = {"text": ["a"], "label": [1], "tags": [[0, 1]]}
    made = datasets.Dataset.from_dict(content, features=features)
    made.to_parquet(str(tmp_path / "a.parquet"))
    names = {"label": ["no", "yes"], "tags": ["O", "B-X"]}
    assert read_table(str(tmp_path / "a.parquet")).class_names == names

    def load_dataset(name, config, split, streaming):
        assert (name, config, split) == ("owner/set", "small", "test")
        return made

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    table = read_table("hf:owner/set:small:test")
    assert (table.columns, table.class_names) == (content, names)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "", "has no rows"),
        ("a.csv", "text,label\n", "has no rows"),
        ("a.csv", "text,label\na,b\n\nc\n", "line 4 has 1 fields, the header has 2"),
        ("a.csv", 'text,label\n"a,b\n', "is not CSV: line 2"),
        ("a.csv", "a,a\n1,2\n", "two columns 'a'"),
        ("a.csv", b"text,label\n\xe9t\xe9,x\n", r"not UTF-8: byte 0xe9 .*iconv"),
        ("a.csv", "text,label\n".encode("utf-16"), "UTF-16|not UTF-8"),
        ("a.tsv", "text\tlabel\na\n", "line 2 has 1 fields"),
        ("a.jsonl", '{"a": 1}\n{"a": \n', "is not JSON lines: line 2"),
        ("a.jsonl", "[1]\n", "line 1 is a list"),
        ("a.parquet", "junk", "not a readable Parquet file"),
        ("a.xlsx", "junk", r"of no kind that is read here: name it \.csv"),
    ],
)
def test_what_cannot_be_read(tmp_path, name, content, message):
    with pytest.raises(ValueError, match=message):
        read_table(write(tmp_path, name, content))


def test_absent_files_and_columns(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is no file .*none\.csv"):
        read_table(str(tmp_path / "none.csv"))
    table = read_table(write(tmp_path, "a.csv", "text,label\na,b\n"))
    with pytest.raises(
        ValueError, match=r"no column 'review'; its columns are: text, label.*text_"
    ):
        table.column("review", "text_column")
    with pytest.raises(ValueError, match=r"no column 'id'; its columns are: text, label$"):
        table.column("id")


@pytest.mark.parametrize(("lines", "place"), [([], "row 8"), (list(range(2, 12)), "line 9")])
def test_rows_that_were_taken_are_named_as_in_the_file(lines, place):
    table = Table("a.parquet", {"n": list(range(10))}, lines=lines)
    assert table.take([3, 7, 9]).where(1) == f"a.parquet, {place}"
    assert table.take([3, 7, 9]).take([1]).where(0) == f"a.parquet, {place}"


def test_fingerprint_is_of_the_content(tmp_path):
    one, other = write(tmp_path, "a.csv", "text\na\n"), write(tmp_path, "b.csv", "text\na\n")
    assert fingerprint(one) == fingerprint(other)
    write(tmp_path, "b.csv", "text\nb\n")
    assert fingerprint(one) != fingerprint(other)


def test_a_share_is_held_out():
    table = Table("a.csv", {"n": list(range(10))}, lines=list(range(2, 12)))
    rest, chosen = held_out(table, 0.3)
    assert len(chosen) == 3
    assert sorted(rest.columns["n"] + chosen.columns["n"]) == table.columns["n"]
    for part in (rest, chosen):
        assert part.columns["n"] == sorted(part.columns["n"])
        assert part.lines == [n + 2 for n in part.columns["n"]]
    assert held_out(table, 0.3)[1].columns == chosen.columns
    assert [len(part) for part in held_out(table, 0.01)] == [9, 1]
    assert [len(part) for part in held_out(table, 0.99)] == [1, 9]
    with pytest.raises(ValueError, match="has one row: none can be held out"):
        held_out(Table("a.csv", {"n": [1]}), 0.5)
    for wrong in ("0", "1", "-3", "nan"):
        with pytest.raises(ValueError, match="above 0 and below 1"):
            share_of(wrong)


def test_fingerprint_of_folders_has_the_labels(tmp_path):
    for label in ("neg", "pos"):
        (tmp_path / label).mkdir()
    file = tmp_path / "neg" / "1.txt"
    file.write_text("fine")
    before = fingerprint(str(tmp_path))
    assert before == fingerprint(str(tmp_path))
    file.rename(tmp_path / "pos" / "1.txt")
    assert fingerprint(str(tmp_path)) != before

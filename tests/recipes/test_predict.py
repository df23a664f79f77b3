"""`distilbert predict`, through the command line."""

import io
import json
import os
import subprocess
import sys
import threading
import types
from pathlib import Path

import pytest
from safetensors.numpy import load_file, save_file

import distilbert
from distilbert.cli import main
from distilbert.tasks.catalog import make_task
from distilbert.tasks.labels import Labels
from distilbert.tasks.tables import Table

NLI = {0: "contradiction", 1: "neutral", 2: "entailment"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory, tiny_vocab):
    """Make a folder with a model of a head."""
    torch = pytest.importorskip("torch")

    def make(head):
        place = tmp_path_factory.mktemp(head)
        config = distilbert.DistilBertConfig(
            vocab_size=len(tiny_vocab), max_position_embeddings=32, dim=16, n_heads=2, n_layers=1,
            hidden_dim=16, id2label=NLI, initializer_range=0.3,
        )  # fmt: skip
        torch.manual_seed(0)
        getattr(distilbert, f"DistilBert{head}")(config).save_pretrained(place)
        distilbert.DistilBertTokenizerFast(tiny_vocab).save_pretrained(place)
        return str(place)

    return make


@pytest.fixture
def predict(tmp_path, folder):
    """Run the command and return the records of its output."""

    def run(task, head, content, name="in.txt", **flags):
        source, target = tmp_path / name, tmp_path / "out" / "answers.jsonl"
        source.write_text(content, encoding="utf-8")
        place = folder(head)
        words = ["--task", task, "--model", place, "--input", str(source), "--output", str(target)]
        for flag, value in flags.items():
            values = value if isinstance(value, list) else [value]
            words += [f"--{flag}"] if value is True else [f"--{flag}", *map(str, values)]
        assert main(["predict", *words]) == 0
        assert not (tmp_path / "out" / "answers.jsonl.partial").exists()
        found = [json.loads(line) for line in target.read_text(encoding="utf-8").splitlines()]
        return found, distilbert.pipeline(task, place, precision="fp32")

    return run


def test_text_classification(predict):
    found, pipe = predict("text-classification", "ForSequenceClassification", "un\né the\nmodel\n")
    assert [each["text"] for each in found] == ["un", "é the", "model"]
    assert [each["prediction"] for each in found] == pipe(["un", "é the", "model"])


def test_pairs_of_other_columns(predict):
    content = "id,one,two\n7,un,the\n8,model,é\n"
    found, pipe = predict(
        "text-classification", "ForSequenceClassification", content, "in.csv",
        text_column="one", second_text_column="two", top_k=2,
    )  # fmt: skip
    assert {name: found[0][name] for name in ("id", "one", "two")} == {
        "id": "7", "one": "un", "two": "the",
    }  # fmt: skip
    expected = pipe([("un", "the"), ("model", "é")], top_k=2)
    assert [each["prediction"] for each in found] == expected


def test_fill_mask(predict):
    found, pipe = predict(
        "fill-mask", "ForMaskedLM", "the [MASK]\n", targets=["small", "un"], top_k=2
    )
    assert found[0]["prediction"] == pipe("the [MASK]", targets=["small", "un"])


def test_token_classification(predict):
    found, pipe = predict(
        "ner", "ForTokenClassification", "the small models\n", aggregation_strategy="first"
    )
    assert found[0]["prediction"] == pipe("the small models", aggregation_strategy="first")


def test_question_answering(predict):
    asked = {"question": "what?", "context": "the small model " * 20}
    content = json.dumps({"id": 1, **asked}) + "\n"
    found, pipe = predict(
        "question-answering", "ForQuestionAnswering", content, "in.jsonl", top_k=3, doc_stride=5
    )
    assert found[0]["id"] == 1
    assert found[0]["prediction"] == pipe(asked, top_k=3, doc_stride=5)


def test_zero_is_a_number_like_others(predict):
    asked = {"question": "what?", "context": "the small model " * 20}
    content = json.dumps(asked) + "\n"
    found, pipe = predict(
        "question-answering", "ForQuestionAnswering", content, "in.jsonl", doc_stride=0
    )
    assert found[0]["prediction"] == pipe(asked, doc_stride=0) != pipe(asked)


def test_the_model_as_it_is(predict):
    found, pipe = predict(
        "text-classification", "ForSequenceClassification", "un\nthe model\n", dtype="float32"
    )
    for each, plain in zip(found, pipe(["un", "the model"]), strict=True):
        assert each["prediction"]["label"] == plain["label"]
        assert each["prediction"]["score"] == pytest.approx(plain["score"], abs=1e-5)


@pytest.mark.parametrize(("top_k", "labels"), [(None, None), (1, 1), (0, 3)])
def test_labels_that_are_asked_for(predict, top_k, labels):
    flags = {} if top_k is None else {"top_k": top_k}
    found, pipe = predict("text-classification", "ForSequenceClassification", "the\n", **flags)
    options = {} if labels is None else {"top_k": labels}
    assert [each["prediction"] for each in found] == pipe(["the"], **options)


def test_an_empty_text_of_a_pair(predict):
    content = (
        '{"text": "the", "two": ""}\n{"text": "the", "two": null}\n{"text": null, "two": "un"}\n'
    )
    found, pipe = predict(
        "text-classification", "ForSequenceClassification", content, "in.jsonl",
        second_text_column="two",
    )  # fmt: skip
    expected = pipe([("the", ""), ("the", ""), ("", "un")])
    assert [each["prediction"] for each in found] == expected


def test_multiple_choice_reads_what_fine_tuning_reads(predict, tiny_vocab):
    """The beginning of a sentence belongs to each of its endings."""
    content = "sent1,sent2,ending0,ending1\nthe,small,un,model\nthe,,un,model\n"
    found, pipe = predict(
        "multiple-choice", "ForMultipleChoice", content, "in.csv", text_column="sent1",
        second_text_column="sent2", choice_columns=["ending0", "ending1"],
    )  # fmt: skip
    read = [("the", ["small un", "small model"]), ("the", ["un", "model"])]
    assert [each["prediction"] for each in found] == pipe(read)
    columns = {
        "sent1": ["the"] * 2, "sent2": ["small", ""], "ending0": ["un"] * 2,
        "ending1": ["model"] * 2, "label": [0, 1],
    }  # fmt: skip
    examples = make_task("swag").examples(
        Table("in.csv", columns, {}, [2, 3]), Labels(()), pipe.tokenizer, 0
    )
    texts, choices = zip(*((text, choice) for text, both in read for choice in both), strict=True)
    rows = pipe.tokenizer(list(texts), list(choices))["input_ids"]
    assert examples.features.tokens.tolist() == [each for row in rows for each in row]


@pytest.mark.parametrize("separate", [True, False])
def test_multiple_choice(predict, separate):
    if separate:
        content, name, flags = "text,a,b\nthe,un,model\n", "in.csv", {"choice_columns": ["a", "b"]}
    else:
        content, name, flags = '{"text": "the", "choices": ["un", "model"]}\n', "in.jsonl", {}
    found, pipe = predict("multiple-choice", "ForMultipleChoice", content, name, **flags)
    assert found[0]["prediction"] == pipe(("the", ["un", "model"]))


@pytest.mark.parametrize("labels", [["small", "un"], ["small, un"]])
def test_zero_shot(predict, labels):
    found, pipe = predict(
        "zero-shot-classification", "ForSequenceClassification", "the model\n",
        candidate_labels=labels, multi_label=True,
    )  # fmt: skip
    assert found[0]["prediction"] == pipe("the model", ["small", "un"], multi_label=True)


def test_vectors(predict):
    found, pipe = predict("sentence-embedding", "Model", "the model\nun\n")
    assert found[1]["prediction"] == pytest.approx(pipe("un").tolist(), abs=1e-5)


def test_from_standard_input_to_standard_output(folder, monkeypatch, capsys):
    stdin = types.SimpleNamespace(buffer=io.BytesIO("é\nun\n".encode()))
    monkeypatch.setattr("sys.stdin", stdin)
    words = ["--task", "text-classification", "--model", folder("ForSequenceClassification")]
    assert main(["predict", *words, "--input", "-"]) == 0
    captured = capsys.readouterr()
    assert [json.loads(line)["text"] for line in captured.out.splitlines()] == ["é", "un"]
    assert "2 answers in" in captured.err


def test_an_answer_does_not_depend_on_its_place(predict):
    texts = ["un", "the small model", "é", "models models models"]
    one, _ = predict("text-classification", "ForSequenceClassification", "\n".join(texts))
    other, _ = predict(
        "text-classification", "ForSequenceClassification", "\n".join(texts[::-1]), batch_tokens=8
    )
    for a, b in zip(one, other[::-1], strict=True):
        assert a["text"] == b["text"]
        assert a["prediction"]["score"] == pytest.approx(b["prediction"]["score"], abs=1e-5)


@pytest.mark.parametrize(
    ("content", "name", "flags", "message"),
    [
        ("un\n\nthe\n", "in.txt", [], "line 2: the text is empty"),
        ("a,b\n1,2\n", "in.csv", [], "line 2: there is no column 'text' but a, b; .* text_column"),
        ('{"text": 3}\n', "in.jsonl", [], "line 1: expected a text, .* not 3"),
        (
            '{"text": "a", "prediction": 1}',
            "in.jsonl",
            [],
            "line 1: there is a column 'prediction'",
        ),
        ("un\n", "in.xml", [], "does not say what it is"),
        (
            "un\n" * 700 + "the " * 99 + "\nun",
            "in.txt",
            [],
            "line 701: the text .* has 101 tokens, and at most 32 fit: .* set truncation",
        ),
        ('id,text\n1,un\n\n2,"the\nun"\n3,\u200b\n', "in.csv", [], "line 6: .* has no tokens"),
        (
            "a\n1\n",
            "in.csv",
            ["--text_column", "a", "--second_text_column", "b"],
            "line 2: there is no column 'b' but a; .* second_text_column",
        ),
        (
            "un\n",
            "in.txt",
            ["--context_column", "a"],
            "text-classification has no context_column; it has text_column, second_text_column",
        ),
        ("un\n", "in.txt", ["--device", "cuda:99"], "device='cuda:99' cannot be used"),
        ("un\n", "in.txt", ["--targets", "a"], "text-classification has no option 'targets'"),
        ("un\n", "in.txt", ["--top_k", "-1"], "top_k must be at least 1, got -1"),
        ("un\n", "in.txt", ["--precision", "int8", "--dtype", "float32"], "leave out dtype"),
        ("un\n", "in.txt", ["--task", "mood"], "no task 'mood'"),
        ("un\n", "in.txt", ["--task", "ner"], "is a DistilBertForSequenceClassification, not a"),
    ],
)
def test_bad_input(folder, tmp_path, capsys, content, name, flags, message):
    import re

    source = tmp_path / name
    source.write_text(content, encoding="utf-8")
    words = ["--task", "text-classification", "--model", folder("ForSequenceClassification")]
    words += ["--input", str(source), "--output", str(tmp_path / "out.jsonl"), *flags]
    assert main(["predict", *words]) == 1
    assert re.search(message, capsys.readouterr().err)
    assert not (tmp_path / "out.jsonl").exists()


@pytest.mark.parametrize(
    ("task", "head"),
    [
        ("zero-shot-classification", "ForSequenceClassification"),
        ("ner", "ForTokenClassification"),
        ("sentence-embedding", "Model"),
        ("fill-mask", "ForMaskedLM"),
        ("question-answering", "ForQuestionAnswering"),
    ],
)
def test_columns_that_a_task_does_not_read(folder, tmp_path, capsys, task, head):
    source = tmp_path / "in.csv"
    source.write_text("text,b\nun,the\n", encoding="utf-8")
    words = ["--task", task, "--model", folder(head), "--input", str(source)]
    assert main(["predict", *words, "--second_text_column", "b"]) == 1
    assert "has no second_text_column; it has " in capsys.readouterr().err


def test_what_was_answered_before_a_failure_is_kept(folder, tmp_path):
    source = tmp_path / "in.txt"
    source.write_text("un\n" * 300 + "\n", encoding="utf-8")
    words = ["--task", "text-classification", "--model", folder("ForSequenceClassification")]
    target = tmp_path / "out.jsonl"
    assert main(["predict", *words, "--input", str(source), "--output", str(target)]) == 1
    partial = (tmp_path / "out.jsonl.partial").read_text(encoding="utf-8")
    assert len(partial.splitlines()) == 300


@pytest.fixture
def answer(folder, tmp_path):
    """Run the command on two texts, with an output, and return its exit code."""
    (tmp_path / "in.txt").write_text("un\nthe\n", encoding="utf-8")
    place = folder("ForSequenceClassification")

    def run(output, model=place, input="in.txt"):
        words = ["--task", "text-classification", "--model", model]
        return main(["predict", *words, "--input", str(tmp_path / input), "--output", output])

    return run


def test_a_link_stays_a_link(answer, tmp_path):
    (tmp_path / "old.jsonl").write_text("old")
    for name in ("old.jsonl", "new.jsonl"):
        link = tmp_path / f"link-to-{name}"
        link.symlink_to(tmp_path / name)
        assert answer(str(link)) == 0
        assert link.is_symlink()
        assert len((tmp_path / name).read_text().splitlines()) == 2
    assert not list(tmp_path.glob("*.partial"))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names")
def test_a_pipe_stays_a_pipe(answer, tmp_path):
    pipe, found = tmp_path / "pipe", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: found.append(pipe.read_text()), daemon=True)
    reader.start()
    assert answer(str(pipe)) == 0
    reader.join(10)
    assert pipe.is_fifo()
    assert len(found[0].splitlines()) == 2


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="open files have no names")
@pytest.mark.parametrize("name", ["/dev/fd/{}", "/proc/self/fd/{}", "/proc/thread-self/fd/{}"])
def test_what_is_open_is_written_where_it_is(answer, tmp_path, capsys, name):
    """A shell's `> answers.jsonl` or `>> answers.jsonl`, whose file is neither replaced nor cut."""
    target = tmp_path / "answers.jsonl"
    target.write_text("first\n")
    identity = target.stat().st_ino
    link = tmp_path / "link"
    with target.open("a") as file:
        given = name.format(file.fileno())
        link.symlink_to(given)
        for output in (given, str(link)):
            assert answer(output) == 0
        print("last", file=file)  # it is still open
    lines = target.read_text().splitlines()
    assert (lines[0], lines[-1], len(lines)) == ("first", "last", 6)
    assert target.stat().st_ino == identity
    assert answer(given) == 1
    assert f"{given} is not open for writing (Bad file descriptor)" in capsys.readouterr().err
    with target.open() as file:
        assert answer(name.format(file.fileno())) == 1
    assert target.read_text().splitlines() == lines


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="open files have no names")
def test_standard_output_by_its_name(answer, tmp_path, capfd):
    target = tmp_path / "answers.jsonl"
    target.write_text("first\n")
    before = os.dup(1)
    try:
        with target.open("a") as file:
            os.dup2(file.fileno(), 1)
        assert answer("/dev/stdout") == 0
    finally:
        os.dup2(before, 1)
        os.close(before)
    lines = target.read_text().splitlines()
    assert (lines[0], len(lines)) == ("first", 3)


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="open files have no names")
def test_what_another_process_has_open(answer, tmp_path, capsys):
    target = tmp_path / "answers.jsonl"
    target.write_text("mine\n")
    pipe = {"stdin": subprocess.PIPE}
    with target.open("a") as file, subprocess.Popen(["cat"], stdout=file, **pipe) as other:
        assert answer(f"/proc/{other.pid}/fd/1") == 1
        assert "is open in another process: give the name" in capsys.readouterr().err
        other.communicate()
    assert target.read_text() == "mine\n"


def test_an_output_that_cannot_be(answer, tmp_path, capsys):
    assert answer(str(tmp_path)) == 1
    assert f"{tmp_path} is a folder; give the name of a file" in capsys.readouterr().err
    assert answer(str(tmp_path / "in.txt" / "out.jsonl")) == 1
    assert "in.txt is a file; give a folder" in capsys.readouterr().err


@pytest.mark.skipif(os.name == "nt", reason="no such lock")
def test_two_at_one_output(answer, tmp_path, capsys):
    target = tmp_path / "out.jsonl"
    code = (
        "import sys; from pathlib import Path\n"
        "from distilbert.recipes.output import growing_output\n"
        "with growing_output(Path(sys.argv[1])) as file:\n"
        "    print('begun', flush=True); input(); print('mine', file=file)\n"
    )
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", code, str(target)], **pipes) as other:
        assert other.stdout.readline() == "begun\n"
        assert answer(str(target)) == 1
        assert "another process is writing" in capsys.readouterr().err
        other.communicate("\n")
    assert target.read_text() == "mine\n"
    assert answer(str(target)) == 0
    assert len(target.read_text().splitlines()) == 2


def test_what_json_cannot_hold(answer, folder, tmp_path, capsys):
    place = Path(folder("ForSequenceClassification"))
    weights = load_file(place / "model.safetensors")
    weights["classifier.bias"][0] = float("nan")
    save_file(weights, place / "model.safetensors", metadata={"format": "pt"})
    assert answer(str(tmp_path / "out.jsonl"), str(place)) == 1
    assert "line 1: the model answers with NaN or infinity" in capsys.readouterr().err
    assert not (tmp_path / "out.jsonl").exists()


@pytest.mark.parametrize(
    ("value", "message"),
    [("NaN", "is NaN"), ("1e999", "is Infinity"), ('{"a": [1, NaN]}', "has NaN or infinity")],
)
def test_a_record_that_json_cannot_hold(answer, tmp_path, capsys, value, message):
    (tmp_path / "in.jsonl").write_text(f'{{"text": "un"}}\n{{"text": "un", "n": {value}}}\n')
    assert answer(str(tmp_path / "out.jsonl"), input="in.jsonl") == 1
    error = capsys.readouterr().err
    assert f"line 2: column 'n' {message}, which JSON does not have: write null" in error


@pytest.mark.parametrize("column", ["note", "text"])
def test_a_record_with_a_lone_surrogate(answer, tmp_path, capsys, column):
    records = [{"text": "un"}, {"text": "un", column: "un \ud83d"}]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(each) + "\n" for each in records))
    assert answer(str(tmp_path / "out.jsonl"), input="in.jsonl") == 1
    error = capsys.readouterr().err
    assert f"line 2: column {column!r} has a lone surrogate, U+D83D, which stands for no" in error


def test_standard_output_is_utf8(folder, tmp_path, monkeypatch):
    (tmp_path / "in.txt").write_text("é 中\n", encoding="utf-8")
    written = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(written, encoding="ascii"))
    words = ["--task", "text-classification", "--model", folder("ForSequenceClassification")]
    assert main(["predict", *words, "--input", str(tmp_path / "in.txt")]) == 0
    assert json.loads(written.getvalue().decode("utf-8"))["text"] == "é 中"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_no_room_for_the_answers(answer, capsys):
    assert answer("/dev/full") == 1
    error = capsys.readouterr().err
    assert "/dev/full cannot be written (No space left on device): make room" in error

"""`distilbert export` and then `predict`, through the command line."""

import json
import subprocess
import sys

import pytest

import distilbert
from distilbert.cli import main

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

TEXTS = ["the small model", "un", "", "a model, the small!"]
CODE = """
import sys
sys.modules.update(dict.fromkeys(["torch", "tensorflow", "keras", "onnx"]))
from distilbert.cli import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture
def model(tmp_path, tiny_vocab):
    torch = pytest.importorskip("torch")
    config = distilbert.DistilBertConfig(
        vocab_size=len(tiny_vocab), max_position_embeddings=32, dim=32, n_heads=2, n_layers=2,
        hidden_dim=64, id2label={0: "no", 1: "yes"}, initializer_range=0.3,
    )  # fmt: skip
    torch.manual_seed(0)
    distilbert.DistilBertForSequenceClassification(config).save_pretrained(tmp_path / "model")
    distilbert.DistilBertTokenizerFast(tiny_vocab).save_pretrained(tmp_path / "model")
    (tmp_path / "texts.txt").write_text("\n".join(TEXTS) + "\n")
    return str(tmp_path / "model")


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_an_exported_model_predicts_without_pytorch(model, tmp_path, capsys, precision):
    out, texts = str(tmp_path / "edge"), str(tmp_path / "texts.txt")
    flags = ["--model", model, "--out", out, "--precision", precision, "--check", texts]
    assert main(["export", *flags]) == 0
    said = capsys.readouterr().err
    assert f" MB in {precision}, from 0.1 MB of weights; against fp32 on 3 texts: error " in said
    (tmp_path / "some.txt").write_text("the small model\na model\n")
    given = ["predict", "--task", "text-classification", "--input", str(tmp_path / "some.txt")]
    done = subprocess.run(
        [sys.executable, "-c", CODE, *given, "--model", out], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert main([*given, "--model", model]) == 0
    found, expected = (
        [json.loads(line)["prediction"] for line in text.splitlines()]
        for text in (done.stdout, capsys.readouterr().out)
    )
    assert [a["label"] for a in found] == [a["label"] for a in expected]
    tolerance = 1e-5 if precision == "fp32" else 0.1
    assert [a["score"] for a in found] == pytest.approx(
        [a["score"] for a in expected], abs=tolerance
    )


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_what_an_export_gains_and_that_it_was_not_checked(model, tmp_path, capsys, precision):
    flags = ["--model", model, "--out", str(tmp_path / "edge"), "--precision", precision]
    assert main(["export", *flags]) == 0
    sizes = [(tmp_path / name).stat().st_size / 1e6
             for name in ("edge/model.onnx", "model/model.safetensors")]  # fmt: skip
    said = capsys.readouterr().err
    assert f"{sizes[0]:.1f} MB in {precision}, from {sizes[1]:.1f} MB of weights" in said
    unchecked = "; not checked: do so with --check TEXTS, or `distilbert evaluate` on labelled data"
    assert (unchecked in said) == (precision == "int8")  # in fp32 there is only rounding


def test_too_large_an_error_writes_nothing(model, tmp_path, capsys):
    flags = ["--model", model, "--out", str(tmp_path / "edge"), "--precision", "int8"]
    check = ["--check", str(tmp_path / "texts.txt"), "--tolerance", "1e-6"]
    assert main(["export", *flags, *check]) == 1
    assert "above the tolerance of 1e-06: nothing was written" in capsys.readouterr().err
    assert not (tmp_path / "edge").exists()


def test_files_of_texts_that_cannot_be_used(model, tmp_path, capsys):
    flags = ["--model", model, "--out", str(tmp_path / "edge"), "--check", str(tmp_path / "check")]
    for content, said in (
        (None, "there is no file {}"),
        (b"\n \r\n", "{} has no text"),
        (b"a\xff\n", "{} is not UTF-8"),
    ):
        if content is not None:
            (tmp_path / "check").write_bytes(content)
        assert main(["export", *flags]) == 1
        assert said.format(tmp_path / "check") in capsys.readouterr().err
    assert not (tmp_path / "edge").exists()

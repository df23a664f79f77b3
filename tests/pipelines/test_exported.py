"""Pipelines over an exported model, where PyTorch need not be installed."""

import json
import subprocess
import sys

import pytest

import distilbert

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

QUESTIONS = {
    "fill-mask": "the [MASK] model",
    "text-classification": "the small model",
    "zero-shot-classification": "the small model",
    "token-classification": "the small model, un",
    "question-answering": {"question": "the model", "context": "a small model is able"},
    "multiple-choice": {"text": "the model", "choices": ["is small", "is able"]},
    "feature-extraction": "the small model",
    "sentence-embedding": "the small model",
}
CODE = """
import json, sys
sys.modules.update(dict.fromkeys(["torch", "tensorflow", "keras", "onnx"]))
import distilbert
task, folder, question, options = json.loads(sys.argv[1])
answer = distilbert.pipeline(task, folder, threads=1)(question, **options)
print(json.dumps(answer, default=lambda array: array.tolist()))
"""


@pytest.fixture
def options(task):
    return {"candidate_labels": ["small", "able"]} if task.startswith("zero") else {}


@pytest.fixture
def exported(task, head, folder, tmp_path):
    distilbert.export_onnx(folder(head), tmp_path)
    return str(tmp_path)


def flat(answer):
    """All numbers of an answer in order, and everything else."""
    if isinstance(answer, dict):
        answer = list(answer.values())
    if isinstance(answer, list):
        parts = [flat(part) for part in answer]
        return [x for part in parts for x in part[0]], [x for part in parts for x in part[1]]
    return ([answer], []) if isinstance(answer, int | float) else ([], [answer])


def test_every_task_without_pytorch(task, head, folder, exported, options):
    question = QUESTIONS[task]
    given = json.dumps([task, exported, question, options])
    done = subprocess.run([sys.executable, "-c", CODE, given], capture_output=True, text=True)
    assert not done.stderr
    expected = distilbert.pipeline(task, folder(head))(question, **options)
    expected = json.loads(json.dumps(expected, default=lambda array: array.tolist()))
    numbers, rest = flat(json.loads(done.stdout))
    assert numbers == pytest.approx(flat(expected)[0], abs=1e-5)
    assert rest == flat(expected)[1]


def test_what_an_export_cannot_choose(folder, tmp_path):
    distilbert.export_onnx(folder("ForMaskedLM"), tmp_path)
    with pytest.raises(TypeError, match="is an ONNX file, for which device cannot be chosen"):
        distilbert.pipeline("fill-mask", str(tmp_path), device="cpu")
    with pytest.raises(ValueError, match="is a DistilBertForMaskedLM, not a DistilBertForQ"):
        distilbert.pipeline("question-answering", str(tmp_path))
    with pytest.raises(ValueError, match="the model gave logits, and this task reads last_hidden"):
        distilbert.pipeline("feature-extraction", str(tmp_path))("the")


def test_weights_come_before_an_export_beside_them(folder):
    place = folder("ForMaskedLM")
    (place / "model.onnx").touch()
    fill = distilbert.pipeline("fill-mask", str(place))
    assert isinstance(fill.model, distilbert.DistilBertForMaskedLM)

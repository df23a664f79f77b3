"""`distilbert evaluate`: the scores that training printed, confusion, size and speed."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import distilbert as d
from distilbert import cli
from distilbert.recipes import distill, pretrain, report
from distilbert.recipes import evaluate as recipe
from distilbert.recipes.finetune import Settings as FinetuneSettings
from distilbert.recipes.finetune import main as finetune

from .conftest import TEACHER
from .reviews import save_model
from .test_finetune import QUICK, examples_of, write_lines


def test_classification(fresh, evaluate, reviews, masked_lm, tmp_path, capsys):
    settings = FinetuneSettings(masked_lm, **reviews, out=str(tmp_path / "run"), **QUICK)
    scores = finetune(settings)
    model = str(tmp_path / "run" / "model")
    out = tmp_path / "new" / "result.json"
    result = evaluate(model=model, data=reviews["validation"], out=str(out))
    assert result["scores"] == pytest.approx(scores, abs=1e-6)
    assert json.loads(out.read_text()) == result
    names, *counts = zip(*result["detail"]["rows"], strict=True)
    assert names == ("neg", "pos")
    assert sum(map(sum, counts)) == result["examples"] == 60
    assert (counts[0][0] + counts[1][1]) / 60 == pytest.approx(scores["accuracy"])
    opened = d.DistilBertForSequenceClassification.from_pretrained(model)
    assert result["size"]["parameters"] == opened.num_parameters()
    assert result["size"]["megabytes"] == pytest.approx(4e-6 * opened.num_parameters())
    assert result["speed"]["latency_ms"] > 0
    assert result["speed"]["examples_per_s"] > 0
    printed = capsys.readouterr().out
    assert "accuracy" in printed
    assert "confusion" in printed


@pytest.mark.parametrize("kind", ["distilbert", "bert"])
@pytest.mark.parametrize(
    ("task", "head"),
    [
        ("classification", "SequenceClassification"),
        ("token-classification", "TokenClassification"),
        ("question-answering", "QuestionAnswering"),
        ("multiple-choice", "MultipleChoice"),
    ],
)
def test_an_export_has_the_scores_of_its_model(evaluate, reviews, tmp_path, task, head, kind):
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    model, out = Path(save_model(tmp_path / "model", kind, head)), tmp_path / "onnx"
    names = {"classification": ["neg", "pos"], "token-classification": ["B-BAD", "B-GOOD", "O"]}
    cls = getattr(d, f"{'Bert' if kind == 'bert' else 'DistilBert'}For{head}")
    labels = dict(enumerate(names[task])) if task in names else {0: "a", 1: "b"}
    cls.from_pretrained(model, id2label=labels, ignore_mismatched_sizes=True).save_pretrained(model)
    d.export_onnx(model, out)
    data = reviews["validation"]
    if task != "classification":
        data = write_lines(tmp_path / "data.jsonl", examples_of(task, 40, seed=1))
    options = {"data": data, "task": task, "stride": 4 if task[0] == "q" else None}
    expected, found = (evaluate(model=str(each), **options) for each in (model, out))
    assert found["scores"] == pytest.approx(expected["scores"], abs=1e-5)
    size = (out / "model.onnx").stat().st_size
    assert found["size"] == {**expected["size"], "megabytes": size / 1e6}
    assert found["speed"].keys() == expected["speed"].keys()
    assert found.get("detail") == expected.get("detail")


def test_a_model_is_compared_with_its_export(evaluate, two_models, reviews, tmp_path, capsys):
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    model, out = two_models[0], str(tmp_path / "onnx")
    d.export_onnx(model, out, precision="int8")
    found = evaluate(compare=(model, out), data=reviews["validation"])
    assert found["retention"][out]["classification"] == pytest.approx(1, abs=0.1)
    sizes = [found["results"][name]["classification"]["size"] for name in (model, out)]
    assert f"{sizes[1]['megabytes'] / sizes[0]['megabytes']:.1%}" in capsys.readouterr().out
    assert sizes[1]["parameters"] == sizes[0]["parameters"]


def test_what_an_export_cannot_be_scored_on(evaluate, reviews, masked_lm, tmp_path):
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    out, data = str(tmp_path / "onnx"), reviews["validation"]
    d.export_onnx(masked_lm, out)
    with pytest.raises(ValueError, match="is an export, which can be scored on labelled"):
        evaluate(model=out, data=data, task="mlm")
    with pytest.raises(ValueError, match="is an export, which has its own precision"):
        evaluate(model=out, data=data, precision="bf16")
    with pytest.raises(ValueError, match="is a DistilBertForMaskedLM, not a DistilBertForSequence"):
        evaluate(model=out, data=data)
    classifier = save_model(tmp_path / "c", "distilbert", "SequenceClassification")
    d.export_onnx(classifier, tmp_path / "c-onnx")
    pairs = write_lines(tmp_path / "p.jsonl", [{"sentence1": "good", "sentence2": "nice"}] * 2)
    with pytest.raises(ValueError, match=r"another head \(it gives logits\).* with --head Model"):
        evaluate(model=str(tmp_path / "c-onnx"), data=pairs, task="embedding")


def test_names_in_brackets_are_printed_as_they_are(capsys):
    label = "[/INST]"
    result = {"model": "[runs]/model", "task": "mine", "scores": {"[x]": 0.5}, "detail": {
        "title": "confusion", "columns": ["", label], "rows": [[label, 1]]}}  # fmt: skip
    report.show(result)
    results = {name: {"[task]": {"scores": {"accuracy": 0.5}}} for name in ("[a]", "[b]")}
    report.show_comparison(report.Comparison(list(results), {"[task]": "accuracy"}, results))
    printed = capsys.readouterr().out
    for name in ("[runs]/model", "[x]", "[task]", "[a]", "[b]"):
        assert name in printed
    assert printed.count(label) == 2


@pytest.mark.parametrize("recipe", ["pretrain", "distill"])
def test_masked_lm_scores_are_those_of_training(evaluate, fresh, corpus, teacher, tmp_path, recipe):
    """To the last bit, with the masking of the recipe."""
    shared = {"corpus": corpus, "out": str(tmp_path / "run"), "steps": 5, "sequences_per_step": 24}
    fresh()
    if recipe == "pretrain":
        shape = {name: TEACHER[name] for name in ("layers", "dim", "heads")}
        chosen = pretrain.Settings(**shared, **shape)
        scores = pretrain.main(chosen)
    else:
        chosen = distill.Settings(teacher=teacher, **shared)
        scores = distill.main(chosen)
    result = evaluate(
        model=str(tmp_path / "run" / "model"), data=corpus, task="mlm",
        mask_rate=chosen.mask_rate, mask_smoothing=chosen.mask_smoothing,
    )  # fmt: skip
    assert result["scores"] == scores
    assert result["size"]["parameters"] > 0


def test_what_cannot_be_evaluated(evaluate, reviews, masked_lm, tmp_path, capfd):
    data = reviews["validation"]
    with pytest.raises(ValueError, match="is a DistilBertForMaskedLM, not a DistilBertForSequence"):
        evaluate(model=masked_lm, data=data)
    with pytest.raises(ValueError, match=r"task must be one of classification.*mlm; got 'cooking'"):
        evaluate(model=masked_lm, data=data, task="cooking")
    other = save_model(tmp_path / "m", head="SequenceClassification", id2label={0: "a", 1: "b"})
    with pytest.raises(ValueError, match=r"line 2: the label '(neg|pos)' is none of the model's"):
        evaluate(model=other, data=data)
    with pytest.raises(ValueError, match="has 2 labels, a, b: the task regression needs one"):
        evaluate(model=other, data=data, task="regression")
    assert cli.main(["evaluate", "--model", other, "--data", data, "--label_column", "stars"]) == 1
    assert "no column 'stars'" in capfd.readouterr().err


def test_a_tokenizer_with_more_entries_than_the_model(evaluate, reviews, tmp_path):
    model = save_model(tmp_path / "m", head="SequenceClassification", id2label={0: "a", 1: "b"})
    tokenizer = d.DistilBertTokenizerFast.from_pretrained(model)
    tokenizer.add_tokens(["wonderful"])
    tokenizer.save_pretrained(model)
    size = len(tokenizer)
    message = rf"has {size} entries, its model vectors for {size - 1}: .*_embeddings\({size}\)"
    for task in ("classification", "embedding"):
        with pytest.raises(ValueError, match=message):
            evaluate(model=model, data=reviews["validation"], task=task)
    with pytest.raises(ValueError, match=message):
        finetune(FinetuneSettings(model, **reviews, out=str(tmp_path / "run"), **QUICK))
    assert not (tmp_path / "run").exists()


@pytest.fixture
def two_models(fresh, reviews, masked_lm, tmp_path):
    """A model that has learned, and one that hardly has."""
    models = []
    for name, steps in (("long", 50), ("short", 2)):
        fresh()
        out = str(tmp_path / name)
        finetune(FinetuneSettings(masked_lm, **reviews, out=out, **{**QUICK, "steps": steps}))
        models.append(f"{out}/model")
    return models


def test_comparing_models(evaluate, two_models, reviews, tmp_path, capsys):
    out = tmp_path / "report"
    found = evaluate(compare=tuple(two_models), data=reviews["validation"], out=str(out))
    long, short = two_models
    scores = {name: found["results"][name]["classification"]["scores"] for name in two_models}
    assert found["retention"][long] == {"classification": 1.0}
    kept = scores[short]["accuracy"] / scores[long]["accuracy"]
    assert found["retention"][short]["classification"] == pytest.approx(kept)
    assert f"{kept:.1%}" in capsys.readouterr().out
    page = (out / "report.html").read_text()
    assert f"<td>{kept:.1%}</td>" in page
    assert page.count("<svg") == 1
    assert "<script" not in page


def test_comparing_results_of_several_tasks(evaluate, two_models, reviews, tmp_path, capsys):
    for name, model in zip(("a", "b"), two_models, strict=True):
        for task in ("one", "two"):
            out = tmp_path / name / f"{task}.json"
            evaluate(model=model, data=reviews["validation"], out=str(out))
            out.write_text(out.read_text().replace('"task": "classification"', f'"task": "{task}"'))
    folders = str(tmp_path / "a"), str(tmp_path / "b")
    found = evaluate(compare=folders)
    assert list(found["retention"][folders[1]]) == ["one", "two"]
    copy = tmp_path / "b" / "three.json"
    copy.write_text((tmp_path / "b" / "two.json").read_text())
    with pytest.raises(ValueError, match="has several results of two: a folder has one file per"):
        evaluate(compare=folders)
    copy.unlink()
    (tmp_path / "b" / "two.json").unlink()
    with pytest.raises(ValueError, match=r"has results of one, two, .* of one: compare the same"):
        evaluate(compare=folders)
    (tmp_path / "none").mkdir()
    with pytest.raises(ValueError, match="neither a model nor a folder of results"):
        evaluate(compare=(folders[0], str(tmp_path / "none")))
    for wrong in (folders[:1], (folders[0], folders[0])):
        with pytest.raises(ValueError, match="two or more different"):
            evaluate(compare=wrong)


@pytest.mark.parametrize("kind", ["distilbert", "bert"])
def test_embeddings(evaluate, tmp_path, kind):
    """Their correlation by hand, one text at a time and padded."""
    model = save_model(tmp_path / "m", kind)
    pairs = [("good film", "great film", 5), ("the plot", "a sad actor was", 1), ("is", "was", 3)]
    data = tmp_path / "pairs.jsonl"
    names = ("sentence1", "sentence2", "label")
    data.write_text("".join(json.dumps(dict(zip(names, p, strict=True))) + "\n" for p in pairs))
    result = evaluate(model=model, data=str(data), task="embedding")
    encoder = (d.BertModel if kind == "bert" else d.DistilBertModel).from_pretrained(model)
    tokenizer = d.DistilBertTokenizerFast.from_pretrained(model)

    def embed(text):
        states = encoder(**tokenizer(text, return_tensors="pt")).last_hidden_state
        return states[0].mean(0)

    cosines = [torch.cosine_similarity(embed(a), embed(b), dim=0).item() for a, b, _ in pairs]
    expected = np.corrcoef(cosines, [5, 1, 3])[0, 1]
    assert result["scores"]["pearson"] == pytest.approx(expected, abs=1e-4)


def test_what_is_missing(evaluate):
    with pytest.raises(ValueError, match="say which model"):
        evaluate()
    with pytest.raises(ValueError, match="say which data"):
        evaluate(model="m")


def test_settings_that_would_change_nothing_are_refused(evaluate, tmp_path):
    with pytest.raises(ValueError, match="classification has no mask_rate: leave it out"):
        evaluate(model="m", data="x.csv", mask_rate=0.3)
    with pytest.raises(ValueError, match="mlm has no max_length: leave it out"):
        evaluate(model="m", data="corpus", task="mlm", max_length=64)
    folders = (tmp_path / "a", tmp_path / "b")
    for folder in folders:
        folder.mkdir()
    with pytest.raises(ValueError, match=r"data is for models; .*a, .*b hold results: leave it"):
        evaluate(compare=tuple(map(str, folders)), data="x.csv")


def test_an_output_that_cannot_be_is_told_first(evaluate, tmp_path):
    """Before the model is looked for."""
    with pytest.raises(OSError, match="is a folder; give the name of a file"):
        evaluate(model="nowhere/at-all", data="x.csv", out=str(tmp_path))
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file is a file; give a folder"):
        evaluate(model="nowhere/at-all", data="x.csv", out=str(tmp_path / "file" / "x.json"))


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="open files have no names")
def test_an_open_file_is_neither_replaced_nor_cut(evaluate, reviews, tmp_path):
    model = save_model(
        tmp_path / "model", head="SequenceClassification", id2label={0: "neg", 1: "pos"}
    )
    target = tmp_path / "result.json"
    target.write_text("first\n")
    with target.open("a") as file:
        evaluate(model=model, data=reviews["validation"], out=f"/dev/fd/{file.fileno()}")
    first, rest = target.read_text().split("\n", 1)
    assert first == "first"
    assert json.loads(rest)["task"] == "classification"


@pytest.mark.parametrize("head", ["SequenceClassification", "MaskedLM"])
def test_a_model_that_gives_nan(evaluate, fresh, corpus, teacher, reviews, tmp_path, head):
    labels = {"id2label": {0: "neg", 1: "pos"}} if head != "MaskedLM" else {}
    model = Path(save_model(tmp_path / "model", head=head, **labels))
    settings = {"data": reviews["validation"]}
    if head == "MaskedLM":
        model = shutil.copytree(teacher, tmp_path / "teacher")
        settings = {"data": corpus, "task": "mlm"}
    weights = load_file(model / "model.safetensors")
    name = next(name for name in weights if name.endswith("bias"))
    weights[name][0] = float("nan")
    save_file(weights, model / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match="gives outputs that are NaN or infinite"):
        evaluate(model=str(model), **settings)


def test_the_result_is_written_before_it_is_shown(evaluate, reviews, tmp_path, monkeypatch):
    def broken(result):
        raise BrokenPipeError

    labels = {"id2label": {0: "neg", 1: "pos"}}
    model = save_model(tmp_path / "model", head="SequenceClassification", **labels)
    monkeypatch.setattr(recipe, "show", broken)
    with pytest.raises(BrokenPipeError):
        evaluate(model=model, data=reviews["validation"], out=str(tmp_path / "r.json"))
    assert json.loads((tmp_path / "r.json").read_text())["examples"] == 60

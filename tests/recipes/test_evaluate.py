"""`distilbert evaluate`: the scores that training printed, confusion, size and speed."""

import json

import pytest

import distilbert as d
from distilbert import cli
from distilbert.recipes import distill, pretrain
from distilbert.recipes.finetune import Settings as FinetuneSettings
from distilbert.recipes.finetune import main as finetune

from .conftest import TEACHER
from .reviews import save_model
from .test_finetune import QUICK


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
    with pytest.raises(
        ValueError, match=r"has no SequenceClassification head .*fine-tune it first"
    ):
        evaluate(model=masked_lm, data=data)
    with pytest.raises(ValueError, match=r"task must be one of classification.*mlm; got 'cooking'"):
        evaluate(model=masked_lm, data=data, task="cooking")
    other = save_model(tmp_path / "m", head="SequenceClassification", id2label={0: "a", 1: "b"})
    with pytest.raises(ValueError, match=r"line 2: the label '(neg|pos)' is none of the model's"):
        evaluate(model=other, data=data)
    assert cli.main(["evaluate", "--model", other, "--data", data, "--label_column", "stars"]) == 1
    assert "no column 'stars'" in capfd.readouterr().err

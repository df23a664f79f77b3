"""`distilbert distill`: students of every origin, terms of every kind, and what is refused."""

import dataclasses
import json
import logging
import re
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import distilbert as d
from distilbert import cli
from distilbert.distillation.evaluation import masked_lm_sums
from distilbert.distillation.masking import Masking
from distilbert.distillation.step import DistillationStep
from distilbert.recipes import distill as recipe
from distilbert.recipes.distill import RECIPES, Settings, main
from distilbert.recipes.masked_lm import open_source
from distilbert.runtime import launch
from distilbert.runtime.metrics import read_metrics

from .conftest import write_corpus

NO_HEAD = {"ce": 0.0, "mlm": 0.0, "cos": 0.0}


@pytest.fixture
def distill(fresh, corpus, teacher, tmp_path):
    """Return a function that runs the recipe in `tmp_path / "run"`, briefly."""

    def run(**settings):
        fresh()
        options = {
            "teacher": teacher,
            "corpus": corpus,
            "out": str(tmp_path / "run"),
            "steps": 4,
            "sequences_per_step": 16,
        }
        return main(Settings(**{**options, **settings}))

    return run


@pytest.fixture
def bare_teacher(teacher, tmp_path):
    """The same without its masked-LM head."""
    folder = tmp_path / "bare"
    d.BertModel.from_pretrained(teacher).save_pretrained(folder)
    return str(folder)


def numbers(folder):
    return [{k: v for k, v in line.items() if k != "time"} for line in read_metrics(folder)]


def first_loss(tmp_path):
    return numbers(tmp_path / "run")[0]["validation/loss"]


@pytest.mark.parametrize("ce_at", ["all", "masked"])
def test_the_reported_terms_add_up_to_the_loss(distill, tmp_path, ce_at):
    distill(steps=4, sequences_per_step=16, ce_at=ce_at)
    line = numbers(tmp_path / "run")[-2]
    total = 5 * line["ce"] + 2 * line["mlm"] + line["cos"]
    assert line["loss"] == pytest.approx(total, rel=1e-4)


def test_what_is_published_and_reported(distill, fresh, corpus, teacher, tmp_path, capfd):
    untouched = (Path(teacher) / "model.safetensors").read_bytes()
    scores = distill(steps=80, sequences_per_step=32, learning_rate=3e-3, save_every=40)
    said = capfd.readouterr().err
    assert "student: layers 0, 2 of the teacher's 4, " in said
    assert f"step 0: validation loss {first_loss(tmp_path):.4f}" in said
    assert scores["loss"] < first_loss(tmp_path)
    lines = [line for line in numbers(tmp_path / "run") if "loss" in line]
    assert lines[-1]["loss"] < lines[0]["loss"]
    for line in lines:
        total = 5 * line["ce"] + 2 * line["mlm"] + line["cos"]
        assert line["loss"] == pytest.approx(total, rel=1e-4)
    assert (Path(teacher) / "model.safetensors").read_bytes() == untouched

    folder = tmp_path / "run" / "model"
    student = d.DistilBertForMaskedLM.from_pretrained(folder)
    assert student.config.n_layers == 2
    assert student.config.dropout == 0.1
    tokenizer = d.DistilBertTokenizerFast.from_pretrained(folder)
    assert tokenizer.get_vocab() == d.DistilBertTokenizerFast.from_pretrained(corpus).get_vocab()
    fresh()
    source = open_source(
        launch.start(), corpus, seed=9, sequences_per_step=7, micro_tokens=40, masking=Masking()
    )
    loss, right, count = masked_lm_sums(student, source.validation(50)).tolist()
    assert right / count == scores["accuracy"]
    assert loss / count == pytest.approx(scores["loss"], rel=1e-5)


@pytest.mark.parametrize(
    ("settings", "tolerance"),
    [({}, 0), ({"attention": 1.0}, 0), ({"precision": "bf16"}, 0.02)],
    ids=["prepared teacher", "plain teacher", "bf16"],
)
def test_what_is_kept_of_the_teacher(
    distill, evaluate, teacher, corpus, caplog, settings, tolerance
):
    caplog.set_level(logging.INFO, logger="distilbert")
    scores = distill(**settings)
    found = re.search(
        r"the student keeps (.*)% of the teacher's (.*)% masked-token accuracy, with (.*)% of its "
        r"parameters \((.*)% in the layers\)",
        caplog.text,
    )
    kept, accuracy, whole, layers = map(float, found.groups())
    right = evaluate(model=teacher, data=corpus, task="mlm", mask_smoothing=0.7)
    assert accuracy == pytest.approx(100 * right["scores"]["accuracy"], abs=0.06 + 100 * tolerance)
    assert kept == pytest.approx(100 * 100 * scores["accuracy"] / accuracy, rel=0.01)
    assert layers == 50
    assert 50 < whole < 100


def test_what_is_kept_is_not_asked_without_the_teachers_head(distill, bare_teacher, caplog):
    caplog.set_level(logging.INFO, logger="distilbert")
    distill(teacher=bare_teacher, ce=0.0)
    assert "the student keeps" not in caplog.text


def test_the_paper(distill, teacher, corpus, caplog):
    caplog.set_level(logging.INFO, logger="distilbert")
    settings = Settings(teacher=teacher, corpus=corpus, out="x", recipe="paper-2019")
    expected = dataclasses.replace(settings, sequences_per_step=4000)  # the others are defaults
    assert recipe.with_recipe(settings) == expected
    names = "ce 5.0, mlm 2.0, cos 1.0, temperature 2.0, learning_rate 0.0005, layers one out of two"
    for part in [*names.split(", "), "betas (0.9, 0.98)", "80 % [MASK]", *RECIPES["paper-2019"]]:
        assert part in caplog.text
    for name, value in (("ce", 1.0), ("steps", 7), ("layers", (0, 1)), ("start", "random")):
        changed = dataclasses.replace(settings, **{name: value})
        with pytest.raises(ValueError, match=f"paper-2019 has {name} .* was given: leave out"):
            recipe.with_recipe(changed)
    with pytest.raises(ValueError, match="one of paper-2019, combined-2026; got 'paper'"):
        distill(recipe="paper")
    with pytest.raises(ValueError, match="less than one step of 4000"):
        distill(recipe="paper-2019", steps=0, sequences_per_step=4000)


def test_the_combined_recipe(distill, tmp_path):
    """Its settings are recorded as if each had been given."""
    distill(recipe="combined-2026")
    recorded = json.loads((tmp_path / "run" / "run.json").read_text())["settings"]
    assert RECIPES["combined-2026"].items() <= recorded.items()
    logged = [
        json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()
    ]
    assert {"ce", "mlm", "cos", "hidden", "relation"} <= set().union(*logged)


def test_a_recipe_is_not_given_otherwise(teacher, corpus, tmp_path, capfd):
    """Not even by a flag at its default, which combined-2026 has otherwise."""
    flags = ["--teacher", teacher, "--corpus", corpus, "--out", str(tmp_path / "run")]
    assert cli.main(["distill", *flags, "--recipe", "combined-2026", "--relation", "0"]) == 1
    assert "combined-2026 has relation 1.0, and 0.0 was given" in capfd.readouterr().err


def test_start_random(distill, tmp_path, capfd):
    scores = distill(start="random", layers=(0, 1, 2))
    assert "student: 3 layers of random weights" in capfd.readouterr().err
    assert first_loss(tmp_path) > 3.7
    again = distill(start="random", layers=(0, 1, 2), out=str(tmp_path / "again"))
    assert again == scores
    model = d.DistilBertForMaskedLM.from_pretrained(tmp_path / "run" / "model")
    assert (model.config.n_layers, model.config.dim) == (3, 16)


def test_start_from_a_folder(distill, tmp_path, teacher, capfd):
    """Also one of another width, made by a configuration alone."""
    shape = d.DistilBertConfig(
        vocab_size=53, dim=24, n_layers=1, n_heads=2, hidden_dim=24, max_position_embeddings=16
    )
    path = tmp_path / "narrow.json"
    shape.to_json_file(path)
    distill(start=str(path), hidden=1.0, relation=1.0, relation_heads=4)
    assert "student: random weights of the shape in" in capfd.readouterr().err
    student = tmp_path / "run" / "model"
    assert d.DistilBertForMaskedLM.from_pretrained(student).config.dim == 24
    last = numbers(tmp_path / "run")[-1]["validation/loss"]
    distill(start=str(student), out=str(tmp_path / "more"))
    assert numbers(tmp_path / "more")[0]["validation/loss"] == pytest.approx(last)
    distill(start=teacher, out=str(tmp_path / "whole"))  # a BERT is a start as well
    with pytest.raises(ValueError, match="Leave out one of them"):
        distill(start=str(student), layers=(0,), out=str(tmp_path / "other"))
    with pytest.raises(OSError, match="nowhere"):
        distill(start=str(tmp_path / "nowhere"), out=str(tmp_path / "other"))
    with pytest.raises(ValueError, match=r"relation_heads \(5\) must divide"):
        distill(start=str(student), relation=1.0, relation_heads=5, out=str(tmp_path / "other"))
    assert not (tmp_path / "other").exists()


def test_a_teacher_without_head(distill, bare_teacher, tmp_path):
    with pytest.raises(ValueError, match="no masked-LM head"):
        distill(teacher=bare_teacher)
    assert not (tmp_path / "run").exists()
    distill(teacher=bare_teacher, relation=1.0, **NO_HEAD)
    lines = numbers(tmp_path / "run")
    assert set(lines[1]) == {"step", "loss", "rate", "norm", "tokens", "relation"}


@pytest.fixture
def steps_made(monkeypatch):
    made = []

    class Seen(DistillationStep):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, **options)
            made.append(self)

    monkeypatch.setattr(recipe, "DistillationStep", Seen)
    return made


def test_relations_alone_need_the_teachers_first_layers(distill, steps_made, teacher, tmp_path):
    distill(relation=1.0, relation_layer=2, **NO_HEAD)
    [step] = steps_made
    assert len(step.teacher.base_model.transformer.layer) == 2
    before = d.DistilBertForMaskedLM.from_pretrained(teacher).state_dict()
    after = d.DistilBertForMaskedLM.from_pretrained(tmp_path / "run" / "model").state_dict()
    last = "distilbert.transformer.layer."
    for rest in ("ffn.lin1.weight", "attention.out_lin.bias", "output_layer_norm.weight"):
        assert torch.equal(after[f"{last}1.{rest}"], before[f"{last}2.{rest}"])
    changed = f"{last}0.ffn.lin1.weight"
    assert not torch.equal(after[changed], before[changed])
    assert torch.equal(after["vocab_transform.weight"], before["vocab_transform.weight"])


def test_mlm_alone_does_not_ask_the_teacher(distill, tmp_path, monkeypatch):
    encode = d.BertModel.encode
    asked = []
    monkeypatch.setattr(d.BertModel, "encode", lambda *a, **k: asked.append(1) or encode(*a, **k))
    distill(ce=0.0, cos=0.0)
    lines = numbers(tmp_path / "run")
    assert lines[1]["loss"] == pytest.approx(2 * lines[1]["mlm"], rel=1e-5)
    assert not asked


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"layers": (0, 4)}, "layers must be some of 0 to 3"),
        ({"layers": (-1,)}, "layers must be some of 0 to 3"),
        ({"layers": (0, 9), "start": "random"}, "layers must be some of 0 to 3"),
        ({"relation": 1.0, "relation_layer": 5}, "relation_layer must be 1 to 4"),
        ({"relation": 1.0, "relation_heads": 5}, "relation_heads"),
        ({"micro_tokens": 8}, "a sequence has 16 tokens, and a micro-batch may have 8"),
        ({"ce": 0.0, "mlm": 0.0, "cos": 0.0}, "all weights are 0"),
        ({"ce": -1.0}, "weights of terms must be 0 or more"),
        ({"temperature": 0.0}, "temperature"),
        ({"temperature": float("nan")}, "temperature must be above 0 and finite, got nan"),
        ({"ce": float("inf")}, "finite: .*'ce': inf"),
        ({"cos": float("nan")}, "finite: .*'cos': nan"),
    ],
)
def test_wrong_settings_leave_nothing_behind(distill, tmp_path, settings, message):
    with pytest.raises(ValueError, match=message):
        distill(**settings)
    assert not (tmp_path / "run").exists()


def test_vocabularies(distill, tmp_path, teacher):
    larger = str(write_corpus(tmp_path / "larger", spare=3))
    with pytest.raises(ValueError, match=r"vocabulary of 53 entries, the corpus .* one of 56"):
        distill(corpus=larger)
    words = (Path(teacher) / "vocab.txt").read_text().split()
    (tmp_path / "vocab.txt").write_text("\n".join([*words[:5], *sorted(words[5:], reverse=True)]))
    folder = tmp_path / "other"
    d.BertForMaskedLM.from_pretrained(teacher).save_pretrained(folder)
    d.DistilBertTokenizerFast(str(tmp_path / "vocab.txt")).save_pretrained(folder)
    with pytest.raises(ValueError, match="another vocabulary"):
        distill(teacher=str(folder))
    assert not (tmp_path / "run").exists()


@pytest.fixture
def padded(teacher, tmp_path):
    """The teacher with more entries than its tokenizer has tokens."""
    model = d.BertForMaskedLM.from_pretrained(teacher)
    model.resize_token_embeddings(64)
    model.save_pretrained(tmp_path / "padded")
    d.DistilBertTokenizerFast.from_pretrained(teacher).save_pretrained(tmp_path / "padded")
    return str(tmp_path / "padded")


@pytest.mark.parametrize(
    ("settings", "entries"),
    [
        ({}, 64),
        ({"start": "random"}, 64),
        ({"start": "random", "ce": 0.0, "relation": 1.0}, 53),
    ],
    ids=["teacher", "random", "without ce"],
)
def test_a_teacher_of_more_entries_than_tokens(
    distill, evaluate, padded, corpus, tmp_path, settings, entries
):
    scores = distill(teacher=padded, **settings)
    student = str(tmp_path / "run" / "model")
    assert d.DistilBertForMaskedLM.from_pretrained(student).config.vocab_size == entries
    found = evaluate(task="mlm", model=student, data=corpus)
    assert found["scores"]["accuracy"] == pytest.approx(scores["accuracy"])
    answers = d.pipeline("fill-mask", student)("babo [MASK] bado", top_k=53)
    assert sorted(answer["token"] for answer in answers) == list(range(53))


def test_more_entries_need_a_tokenizer_to_tell_by(distill, padded):
    for file in ("vocab.txt", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"):
        (Path(padded) / file).unlink(missing_ok=True)
    with pytest.raises(ValueError, match=r"64 entries, .* one of 53, and there is no tokenizer in"):
        distill(teacher=padded)


@pytest.mark.parametrize(
    ("option", "value", "theirs"),
    [
        ("do_lower_case", False, False),
        ("strip_accents", False, False),
        ("tokenize_chinese_chars", False, False),
        ("strip_accents", True, None),  # what lower-casing does anyway
    ],
)
def test_a_teacher_that_cuts_text_otherwise(distill, teacher, tmp_path, option, value, theirs):
    folder = tmp_path / "cased"
    shutil.copytree(teacher, folder)
    vocab = d.DistilBertTokenizerFast.from_pretrained(teacher).get_vocab()
    d.DistilBertTokenizerFast(vocab, **{option: value}).save_pretrained(folder)
    if theirs is None:
        distill(teacher=str(folder))
        return
    message = rf"{option} {theirs}, that of the corpus .* True: prepare the corpus with --tokenizer"
    with pytest.raises(ValueError, match=message):
        distill(teacher=str(folder))
    assert not (tmp_path / "run").exists()


def test_a_shape_that_the_corpus_does_not_fit(distill, padded, tmp_path):
    shape = {"dim": 16, "n_layers": 1, "n_heads": 2, "hidden_dim": 16}
    path = tmp_path / "student.json"

    def refused(message, content, **settings):
        path.write_text(json.dumps({"model_type": "distilbert", **shape, **content}))
        with pytest.raises(ValueError, match=message):
            distill(start=str(path), **settings)
        assert not (tmp_path / "run").exists()

    refused(r"student.json gives .* 30522 entries: set vocab_size to 53 in student.json", {})
    refused("set vocab_size to 64 in student.json", {"vocab_size": 53}, teacher=padded)
    refused("set vocab_size to 53", {"vocab_size": 64}, teacher=padded, ce=0.0)
    few = {"vocab_size": 53, "max_position_embeddings": 8}
    refused(r"8 positions, .* set max_position_embeddings to 16 or more in student.json", few)


def test_a_teacher_with_pruned_heads(distill, teacher, tmp_path):
    folder = tmp_path / "pruned"
    shutil.copytree(teacher, folder)
    model = d.BertForMaskedLM.from_pretrained(teacher)
    model.prune_heads({0: [1], 2: [0]})
    model.save_pretrained(folder)
    distill(teacher=str(folder))
    student = d.DistilBertForMaskedLM.from_pretrained(tmp_path / "run" / "model")
    assert student.config.pruned_heads == {0: [1], 1: [0]}


def test_the_command(fresh, corpus, teacher, tmp_path, capfd):
    flags = ["--teacher", teacher, "--corpus", corpus, "--out", str(tmp_path / "run")]
    flags += ["--steps", "2", "--sequences_per_step", "8", "--layers", "1", "3"]
    assert cli.main(["distill", *flags]) == 0
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["settings"]["layers"] == [1, 3]
    weights = load_file(tmp_path / "run" / "model" / "model.safetensors")
    assert "distilbert.transformer.layer.1.ffn.lin1.weight" in weights
    capfd.readouterr()
    assert cli.main(["distill", *flags]) == 0
    assert "going on from the checkpoint of step 2" in capfd.readouterr().err
    assert cli.main(["distill", *flags, "--recipe", "paper-2019"]) == 1
    assert "paper-2019 has layers one out of two, and 1 3 was given" in capfd.readouterr().err


def test_settings_are_few():
    assert len(dataclasses.fields(Settings)) <= 30


def test_a_teacher_that_has_changed_is_not_gone_on_with(distill, teacher, tmp_path):
    copy = tmp_path / "teacher"
    shutil.copytree(teacher, copy)
    distill(teacher=str(copy))
    model = d.BertForMaskedLM.from_pretrained(copy)
    with torch.no_grad():
        model.vocab_projector.bias[3] += 1e-3
    model.save_pretrained(copy)
    with pytest.raises(ValueError, match=r"holds a run with other settings.*teacher was"):
        distill(teacher=str(copy))
    model.vocab_projector.bias.data[3] -= 1e-3
    model.config.hidden_act = "relu"
    model.save_pretrained(copy)
    with pytest.raises(ValueError, match=r"holds a run with other settings.*teacher was"):
        distill(teacher=str(copy))


def test_paths_and_micro_batches_may_be_others(distill, teacher, corpus, tmp_path, capfd):
    copy = tmp_path / "teacher"
    shutil.copytree(teacher, copy)
    distill(teacher=str(copy), micro_tokens=1000)
    capfd.readouterr()
    distill(teacher=f"{copy}/", corpus=f"{corpus}/", micro_tokens=500)
    assert "micro_tokens was 1000, now is 500" in capfd.readouterr().err


@pytest.mark.parametrize("name", ["teacher", "start"])
def test_no_input_is_replaced(distill, teacher, name):
    with pytest.raises(ValueError, match="would be replaced by the model of this run"):
        distill(**{name: teacher}, out=str(Path(teacher).parent))

"""The scripts of the experiment in `runs/`: the order of their runs, and their table."""

import argparse
import json
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

import distilbert as d
from distilbert import cli, flags
from distilbert.tasks.features import Features

pytest.importorskip("torch")
pytest.importorskip("accelerate")
RUNS = Path(__file__).resolve().parents[1] / "runs"


@pytest.fixture
def scripts(monkeypatch):
    monkeypatch.syspath_prepend(str(RUNS))
    import evidence
    import finetuning
    import results
    import settings

    yield evidence, finetuning, results, settings
    for name in ("evidence", "finetuning", "results", "settings"):
        sys.modules.pop(name, None)


def test_what_a_run_needs_comes_before_it(scripts):
    _, finetuning, _, settings = scripts
    rows, tasks = ["minilm", *settings.ROWS], list(settings.TASKS)
    jobs = finetuning.jobs(rows, tasks, ["imdb"], list(settings.WEIGHTS))
    names = [job.name for job in jobs]
    assert len(set(names)) == len(names)
    for number, job in enumerate(jobs):
        before = names[:number]
        if job.kind in settings.WEIGHTS:
            assert f"teacher.{job.task}.plain.0" in before
        if job.kind == "augmented":
            assert f"teacher.{job.task}.texts.0" in before
        if job.kind == "longer":
            has_more = settings.TASKS[job.task].more
            assert (f"teacher.{job.task}.more-texts.0" in before) == has_more
    for task, chosen in settings.TASKS.items():
        assert sum(j.model == "e" and j.task == task and j.kind == "plain" for j in jobs) == (
            chosen.seeds
        )
    plain = finetuning.jobs(["a"], tasks, [], [])
    assert {job.kind for job in plain} == {"plain", "score"}
    assert {job.model for job in plain} == {"teacher", "a"}
    with_one = finetuning.jobs(["h"], tasks, [], ["augmented"])
    assert {job.kind for job in with_one} == {"plain", "score", "texts", "augmented"}


def test_settings_become_flags(scripts):
    evidence, *_ = scripts
    found = evidence.flags({"layers": (1, 3), "ce": 0.5, "deterministic": True})
    assert found == ["--layers", "1", "3", "--ce", "0.5", "--deterministic"]


def test_a_student_has_half_of_any_teacher(scripts, tmp_path, monkeypatch):
    evidence, _, _, settings = scripts
    every, first = settings.ROWS["a"], settings.ROWS["b"]
    assert every.layers(6) == (1, 3, 5)
    assert first.layers(6) == (0, 1, 2)
    given = {"out": tmp_path, "base": "B", "corpus": "C", "precision": "fp32", "teacher_tokens": 1,
             "student_tokens": 1}  # fmt: skip
    usual = argparse.Namespace(**given, teacher_layers=0)
    deep = argparse.Namespace(**given, teacher_layers=12)
    of_minilm, new = evidence.teacher_command(usual), evidence.teacher_command(deep)
    assert of_minilm[of_minilm.index("--model") + 1] == "B"
    assert new[new.index("--model") + 1] == str(tmp_path / "start")
    words = evidence.student_command(deep, "h")
    at = words.index("--layers")
    assert words[at + 1 : at + 7] == ["1", "3", "5", "7", "9", "11"]
    for command in (of_minilm, new, words):
        recipe = import_module(cli.RECIPES[command[3]][0])
        flags.read_settings(command[3], recipe.Settings, command[4:])  # or there is no such flag


def save_bert(folder, vocabulary):
    """Save a BERT of six layers with its tokenizer, and return it."""
    config = d.BertConfig(
        vocab_size=len(vocabulary), n_layers=6, dim=32, n_heads=2, hidden_dim=64,
        max_position_embeddings=16,
    )  # fmt: skip
    bert = d.BertForMaskedLM(config)
    bert.save_pretrained(folder)
    d.DistilBertTokenizerFast(vocabulary).save_pretrained(folder)
    return bert


def test_a_deeper_teacher_begins_with_its_layers_twice(scripts, tiny_vocab, tmp_path):
    evidence, *_ = scripts
    base = save_bert(tmp_path / "base", tiny_vocab)
    given = {"out": tmp_path, "base": tmp_path / "base", "teacher_layers": 12}
    evidence.grow(argparse.Namespace(**given))
    grown = d.DistilBertForMaskedLM.from_pretrained(tmp_path / "start")
    assert grown.config.n_layers == 12
    layers = base.bert.transformer.layer
    for number, layer in enumerate(grown.distilbert.transformer.layer):
        for ours, theirs in zip(layer.parameters(), layers[number % 6].parameters(), strict=True):
            assert ours.equal(theirs)


def test_a_student_may_be_copied(scripts, tiny_vocab, tmp_path):
    evidence, *_ = scripts
    save_bert(tmp_path / "teacher" / "model", tiny_vocab)
    evidence.copy_student(argparse.Namespace(out=tmp_path, teacher_layers=0), "a")
    folder = tmp_path / "students" / "a"
    assert evidence.is_published(folder)
    assert d.DistilBertForMaskedLM.from_pretrained(folder / "model").config.n_layers == 3
    assert d.DistilBertTokenizerFast.from_pretrained(folder / "model").get_vocab() == tiny_vocab


def test_the_table_counts_medians_and_shares(scripts, tmp_path, monkeypatch, capsys):
    _, finetuning, results, _ = scripts
    lines = [
        ("teacher", "sst2", "plain", {"accuracy": 0.9}),
        ("teacher", "cola", "plain", {"matthews": 0.5}),
        ("a", "sst2", "plain", {"accuracy": 0.81}),
        *(("a", "cola", "plain", {"matthews": m}) for m in (0.1, 0.4, 0.45)),
        ("a", "mlm", "score", {"accuracy": 0.3, "parameters": 10**6, "encoder_parameters": 10}),
        ("a", "sst2", "taught", {"accuracy": 0.9}),
    ]
    with (tmp_path / finetuning.SCORES).open("w") as file:
        for number, (model, task, kind, scores) in enumerate(lines):
            line = {"model": model, "task": task, "kind": kind, "scores": scores, "seconds": 3600,
                    "seed": number}  # fmt: skip
            file.write(json.dumps(line) + "\n")
    scores, models, seconds = results.read(tmp_path)
    rows, shares = results.table(scores, models)
    assert seconds == 3600 * len(lines)
    assert rows[0][:5] == ["model", "cola", "sst2", "mean", "kept"]
    assert rows[1][:5] == ["teacher", "50.0", "90.0", "70.0", "100.0%"]
    assert rows[2][1:5] == ["40.0", "81.0", "60.5", "85.0%"]
    assert rows[2][6:] == ["30.0%", "1.0 M", "4"]
    assert shares == {"teacher": 100.0, rows[2][0]: pytest.approx(85.0)}
    assert rows[3][1:5] == ["", "90.0", "", ""]  # not whole: no mean
    head = ["lowest to highest", "cola", "mean", "against (e)"]
    assert results.spread(scores) == [head, ["a", "10.0 to 45.0", "31.67 ± 10.93", ""]]
    scores["e", "cola", "plain"] = {3: 0.1, 4: 0.2, 5: 0.2}  # the seeds that the others have, too
    assert results.spread(scores)[1][3] == "15.00 ± 7.64"
    monkeypatch.setattr("sys.argv", ["results.py", "--out", str(tmp_path)])
    results.main()
    assert "85.0%" in capsys.readouterr().out
    assert ">85 %<" in (tmp_path / "kept.svg").read_text()


def test_what_stands_for_a_task_that_was_not_run(scripts):
    _, _, results, _ = scripts
    scores = {("h", "sst2", "plain"): {0: 0.8}, ("h", "sst2", "taught"): {0: 0.9},
              ("h", "cola", "longer"): {0: 0.3}}  # fmt: skip
    for task, kind, expected in (
        ("sst2", "plain", "plain"), ("sst2", "longer", "taught"), ("sst2", "augmented", "taught"),
        ("cola", "longer", "longer"), ("cola", "augmented", "augmented"),
    ):  # fmt: skip
        assert results.best_kind(scores, "h", task, kind) == expected


def test_examples_are_written_and_read_again(scripts, tmp_path):
    _, finetuning, *_ = scripts
    small = Features(np.arange(3, dtype=np.int32), np.array([3]), np.array([3]), np.array([1]), 0)
    grown = Features(
        np.arange(5, dtype=np.int32), np.array([3, 2]), np.array([3, 2]), np.array([1, 0]), 0
    )
    assert grown.ends.tolist() == [3, 5]  # worked out from the others, not written
    finetuning.write_arrays(tmp_path / "texts.npz", grown)
    found = finetuning.read_arrays(tmp_path / "texts.npz", small)
    for name, value in vars(grown).items():
        np.testing.assert_array_equal(getattr(found, name), value)  # `ends` as well
    assert [path.name for path in tmp_path.iterdir()] == ["texts.npz"]


def test_a_run_waits_for_its_model_until_no_more_will_come(scripts, tmp_path):
    _, finetuning, *_ = scripts
    out = tmp_path / "out"
    place = finetuning.Place(tmp_path, tmp_path, tmp_path, out, "fp32")
    job = finetuning.Job("e", "rte")
    [model] = place.needs(job)
    assert model.parent == place.model("e")
    assert not place.is_hopeless(job)
    out.mkdir()
    (out / finetuning.TRAINED).touch()
    assert place.is_hopeless(job)
    model.parent.mkdir(parents=True)
    assert place.is_hopeless(job)  # stopped while it was published
    model.touch()
    assert not place.is_hopeless(job)
    taught = finetuning.Job("e", "rte", "taught")
    (out / "failures").mkdir()
    (out / "failures" / "teacher.rte.plain.0").touch()
    assert place.is_hopeless(taught)
    assert not place.is_hopeless(job)

"""The quickstart's corpus and task share no module between training and test."""

import csv
import json

from distilbert.distillation.block_writer import split_of
from distilbert.recipes import quickstart_text
from distilbert.recipes.quickstart_text import VALIDATION_FRACTION, name_hider, write_texts


def rows(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def labels_of(out):
    return json.loads((out / "packages.json").read_text())[: quickstart_text.CLASSES]


def test_nothing_of_the_test_is_trained_on(tmp_path, packages, small):
    texts = write_texts(tmp_path / "out", packages)
    labels = labels_of(tmp_path / "out")
    documents = [json.loads(line)["text"] for line in texts.corpus.read_text().splitlines()]
    assert len(documents) == 160
    trained = [d for d in documents if split_of(d.encode(), VALIDATION_FRACTION) == "train"]
    hide = name_hider(labels)
    trained_text = hide("\n".join(trained))
    train, test = rows(texts.train), rows(texts.test)
    assert {row["label"] for row in train} == {row["label"] for row in test} == set(labels)
    assert all(row["text"] in trained_text for row in train)
    assert test
    assert not any(row["text"] in trained_text for row in test)
    assert max(sum(row["label"] == label for row in train) for label in labels) == 20


def test_the_task_does_not_name_its_answers(tmp_path, packages, small):
    texts = write_texts(tmp_path / "out", packages)
    labels = labels_of(tmp_path / "out")
    for row in rows(texts.train) + rows(texts.test):
        assert not any(label in row["text"].lower() for label in labels)
        assert "[MASK]" in row["text"]


def test_names_under_which_a_package_is_installed_are_hidden_too():
    hide = name_hider(["sklearn", "huggingface_hub"])
    assert hide("scikit-learn, SKLearn.svm") == "[MASK], [MASK].svm"
    assert hide("huggingface-hub and Huggingface Hub") == "[MASK] and [MASK]"


def test_files_of_a_finished_run_are_kept(tmp_path, packages, small):
    texts = write_texts(tmp_path / "out", packages)
    before = texts.corpus.stat().st_mtime_ns
    assert write_texts(tmp_path / "out", tmp_path / "nowhere") == texts
    assert texts.corpus.stat().st_mtime_ns == before

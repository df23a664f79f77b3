"""SQuAD: its files, windows over contexts of any length, official scores."""

import json

import numpy as np
import pytest

from distilbert.tasks import question_answering
from distilbert.tasks.labels import Labels
from distilbert.tasks.question_answering import QuestionAnswering
from distilbert.tasks.tables import Table

TASK = QuestionAnswering("squad", "f1", stride=4)
NONE = Labels(())
CONTEXT = "a b c d e f g h i j k l m n o p the small model q r s t u v w"


def table(*rows):
    names = ("id", "question", "context", "answers")
    return Table(
        "a.jsonl", {name: list(v) for name, v in zip(names, zip(*rows, strict=True), strict=True)}
    )


def at(text, start):
    return {"text": [text], "answer_start": [start]}


def answer(text, context=CONTEXT):
    return at(text, context.index(text))


def test_squad_files(tmp_path):
    path = tmp_path / "dev.json"
    entries = [
        {"id": "1", "question": "a?", "answers": [{"text": "b", "answer_start": 2}]},
        {"id": "2", "question": "z?", "answers": [], "is_impossible": True,
         "plausible_answers": [{"text": "c", "answer_start": 4}]},
    ]  # fmt: skip
    paragraphs = [{"context": "a b c", "qas": entries}]
    path.write_text(json.dumps({"version": "v2.0", "data": [{"paragraphs": paragraphs}]}))
    data = TASK.read(str(path))
    assert data.columns["id"] == ["1", "2"]
    assert data.columns["context"] == ["a b c"] * 2
    assert data.columns["answers"] == [
        {"text": ["b"], "answer_start": [2]},
        {"text": [], "answer_start": []},
    ]
    path.write_text('{"data": [{"paragraphs": [{"qas": [{}]}]}]}')
    with pytest.raises(ValueError, match=r"is not SQuAD's JSON: KeyError\('answers'\)"):
        TASK.read(str(path))
    path.write_text('{"data": []}')
    with pytest.raises(ValueError, match="has no questions"):
        TASK.read(str(path))
    with pytest.raises(FileNotFoundError):
        TASK.read(str(tmp_path / "none.json"))


def test_windows_hold_the_answer(tokenizer, perfect):
    data = table(
        ("1", "c?", CONTEXT, answer("the small model")), ("2", " d", "a d", answer("d", "a d"))
    )
    examples = TASK.examples(data, NONE, tokenizer, 16)
    features = examples.features
    assert features.lengths.max() == 16
    assert len(features) > 3
    held = [
        tokenizer.decode(features.tokens[end - n + first : end - n + last + 1])
        for end, n, (first, last) in zip(
            features.ends, features.lengths, features.labels, strict=True
        )
        if first
    ]
    assert set(held) == {"the small model", "d"}
    assert examples.score(perfect(features, 2)) == {"exact_match": 1.0, "f1": 1.0}
    batch = features.batch(np.array([0]))
    inside = batch.input_ids[0][batch.token_type_ids[0] == 1]
    assert tokenizer.decode(inside).endswith("[SEP]")
    assert tokenizer.decode(inside).startswith("a b c")


def test_no_answer(tokenizer, perfect):
    nothing = {"text": [], "answer_start": []}
    data = table(("1", "c?", "a b c", answer("b", "a b c")), ("2", "z?", "a b c", nothing))
    examples = TASK.examples(data, NONE, tokenizer, 16)
    assert (examples.features.labels[-1] == 0).all()
    scores = examples.score(perfect(examples.features, 2))
    assert scores["exact_match"] == scores["best_f1"] == scores["no_answer_f1"] == 1.0
    silent = np.zeros((examples.features.outputs, 2), np.float32)
    silent[examples.features.ends - examples.features.lengths] = 5
    scores = examples.score(silent)
    assert (scores["exact_match"], scores["has_answer_f1"], scores["no_answer_f1"]) == (0.5, 0, 1)


def test_no_answer_is_as_likely_as_the_best_one_where_the_odds_are_0(tokenizer, perfect):
    nothing = {"text": [], "answer_start": []}
    data = table(("1", "c?", "a b c", answer("b", "a b c")), ("2", "z?", "a b c", nothing))
    examples = TASK.examples(data, NONE, tokenizer, 16)
    outputs = perfect(examples.features, 2)
    first = examples.features.ends[0] - examples.features.lengths[0]
    outputs[first] = 9.25  # no answer scores 18.5, and the answer 18
    scores = examples.score(outputs)
    assert (scores["exact_match"], scores["has_answer_f1"], scores["no_answer_f1"]) == (0.5, 0, 1)
    assert (scores["best_exact_match"], scores["best_exact_match_threshold"]) == (1.0, 0.5)


def test_questions_are_encoded_and_scored_some_at_a_time(tokenizer, perfect, monkeypatch):
    long = "a " * 30 + "small b"
    rows = [
        ("1", "c?", CONTEXT, answer("small model")),
        ("2", "c?", "the model", answer("model", "the model")),
        ("3", "c?", long, answer("small b", long)),
    ]
    whole = TASK.examples(table(*rows), NONE, tokenizer, 16).features
    monkeypatch.setattr(question_answering, "_QUESTIONS", 1)
    examples = TASK.examples(table(*rows), NONE, tokenizer, 16)
    assert np.array_equal(examples.features.tokens, whole.tokens)
    assert np.array_equal(examples.features.labels, whole.labels)
    assert examples.score(perfect(examples.features, 2)) == {"exact_match": 1.0, "f1": 1.0}


def test_a_long_context(tokenizer, perfect):
    context = "a b. " * 20_000 + "é the model. " + "c d. " * 100
    data = table(("1", "what?", context, answer("é the model", context)))
    examples = TASK.examples(data, NONE, tokenizer, 384)
    assert examples.score(perfect(examples.features, 2))["exact_match"] == 1.0


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (("1", "c?", "a b c", at("b", 0)), "'b' is not in the context at character 0, .* is 'a'"),
        (("1", "c?", "a b c", at("b", -4)), "'b' is not in the context"),
        (("1", "c?", "a b c d", at("c", -3)), "'c' is not in the context at character -3"),
        (("1", "c?", "a b c", at(" ", 1)), "the answer is empty"),
        (("1", "c?", "a b c", ["b"]), "must be an object with a list of texts"),
        (("1", "c?", "a b c", None), "must be an object with a list of texts"),
        (("1", "c?", "a b c", {"text": ["b"], "answer_start": []}), "as many numbers"),
        (("1", "c?", "a b c", {"text": ["b"], "answer_start": [None]}), "as many numbers"),
        (("1", "c?", "a b c", {"text": "b", "answer_start": 2}), "as many numbers"),
        (("1", "", "a b c", answer("b")), "'question' is empty"),
        (("1", "c?", None, answer("b")), "'context' is empty"),
        (("1", "a " * 20, "a b c", answer("b")), "lower stride .*, or raise max_length"),
    ],
)  # fmt: skip
def test_wrong_rows(tokenizer, row, message):
    with pytest.raises(ValueError, match=message):
        TASK.examples(table(row), NONE, tokenizer, 16)


def test_equal_ids(tokenizer):
    row = ("1", "c?", "a b c", answer("b", "a b c"))
    with pytest.raises(ValueError, match="several questions have the same id"):
        TASK.examples(table(row, row), NONE, tokenizer, 16)

import subprocess
import sys

import numpy as np
import pytest

from distilbert.tasks import metrics


def test_classification_scores_by_hand():
    predictions, labels = [1, 1, 0, 0, 1], [1, 0, 0, 1, 1]
    assert metrics.accuracy(predictions, labels) == pytest.approx(3 / 5)
    assert metrics.f1(predictions, labels) == pytest.approx(4 / 6)
    assert metrics.f1(predictions, labels, positive=0) == pytest.approx(2 / 4)
    assert metrics.f1([0, 0], [0, 0]) == 0
    assert metrics.f1(predictions, labels, "macro") == pytest.approx((4 / 6 + 2 / 4) / 2)
    true, false = 2 * 1 - 1 * 1, (3 * 3 * 2 * 2) ** 0.5
    assert metrics.matthews(predictions, labels) == pytest.approx(true / false)


def test_several_labels_at_once():
    predictions, labels = [[1, 0], [1, 1]], [[1, 0], [0, 1]]
    assert metrics.accuracy(predictions, labels) == 0.5
    assert metrics.f1(predictions, labels, "micro") == pytest.approx(4 / 5)


def test_correlations_by_hand():
    assert metrics.pearson([1, 2, 3], [2, 4, 6.5]) == pytest.approx(np.corrcoef(
        [1, 2, 3], [2, 4, 6.5])[0, 1])  # fmt: skip
    assert metrics.spearman([1, 20, 3], [2, 400, 5]) == pytest.approx(1)
    assert metrics.spearman([1, 2, 3], [3, 2, 1]) == pytest.approx(-1)


def test_what_never_varies_correlates_with_nothing():
    assert metrics.pearson([1, 1, 1], [1, 2, 3]) == 0
    assert metrics.spearman([1, 2, 3], [1, 1, 1]) == 0
    assert metrics.matthews([1, 1], [0, 1]) == 0
    assert metrics.f1([0, 0], [0, 1]) == 0


@pytest.mark.parametrize(
    "name", ["accuracy", "f1", "matthews", "pearson", "spearman"]
)  # fmt: skip
def test_bad_input(name):
    score = getattr(metrics, name)
    with pytest.raises(ValueError, match="nothing to score"):
        score([], [])
    with pytest.raises(ValueError, match=r"\(2,\) and labels \(3,\)"):
        score([1, 2], [1, 2, 3])


def test_correlation_wants_finite_numbers():
    with pytest.raises(ValueError, match="finite"):
        metrics.pearson([1, float("nan")], [1, 2])
    with pytest.raises(ValueError, match="two values"):
        metrics.spearman([1], [1])


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("The  Cat, a dog\tand AN ape!", "cat dog and ape"),
        ("another theatre", "another theatre"),
        ("U.S.", "us"),
        ("£5–6", "£5–6"),  # ASCII punctuation only, as the script does
        ("the", ""),
    ],
)
def test_normalize_answer(text, normal):
    assert metrics.normalize_answer(text) == normal


def test_answer_f1_counts_words_as_often_as_they_occur():
    assert metrics.answer_f1("new new york", "new york city") == pytest.approx(4 / 6)
    assert metrics.answer_f1("x", "") == metrics.answer_f1("", "x") == 0
    assert metrics.answer_f1("", "the") == 1


def test_squad_takes_the_best_right_answer():
    scores = metrics.squad({"q": "Denver Broncos"}, {"q": ["Broncos", "the denver broncos."]})
    assert scores == {"exact_match": 1.0, "f1": 1.0}


def test_squad_2_scores_questions_with_and_without_answers():
    predictions = {"a": "red car", "b": "", "c": "wrong", "d": ""}
    answers = {"a": ["red"], "b": ["blue"], "c": [], "d": []}
    scores = metrics.squad(predictions, answers)
    assert scores["exact_match"] == 0.25
    assert scores["f1"] == pytest.approx((2 / 3 + 1) / 4)
    assert scores["has_answer_f1"] == pytest.approx(1 / 3)
    assert scores["no_answer_f1"] == 0.5
    assert scores["no_answer_exact_match"] == 0.5


def scores_at(threshold, predictions, answers, odds):
    told = {k: "" if odds[k] > threshold else v for k, v in predictions.items()}
    return metrics.squad(told, answers)


@pytest.mark.parametrize("seed", range(8))
def test_best_threshold_is_the_best_of_all(seed):
    draw = np.random.default_rng(seed)
    keys = [str(i) for i in range(30)]
    answers = {k: ["red"] if draw.random() < 0.6 else [] for k in keys}
    predictions = {k: str(draw.choice(["red", "red car", "blue", ""])) for k in keys}
    odds = {k: float(np.round(draw.normal(), 1)) for k in keys}  # with ties
    scores = metrics.squad(predictions, answers, odds)
    tried = [-100.0, *odds.values()]
    for name in ("f1", "exact_match"):
        all_of_them = [scores_at(t, predictions, answers, odds)[name] for t in tried]
        assert scores[f"best_{name}"] == pytest.approx(max(all_of_them))
        chosen = scores_at(scores[f"best_{name}_threshold"], predictions, answers, odds)
        assert chosen[name] == pytest.approx(scores[f"best_{name}"])


def test_squad_wants_every_question():
    with pytest.raises(ValueError, match="1 of 2 questions have no prediction, the first 'b'"):
        metrics.squad({"a": "x"}, {"a": ["x"], "b": ["x"]})
    with pytest.raises(ValueError, match="no null_odds"):
        metrics.squad({"a": "x"}, {"a": []}, {})
    with pytest.raises(ValueError, match="no questions"):
        metrics.squad({}, {})


def test_importing_needs_no_framework_and_no_extra():
    code = (
        "import sys, distilbert.tasks.metrics, distilbert.tasks.answers, "
        "distilbert.tasks.entities; print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    roots = {name.partition(".")[0] for name in done.stdout.split()}
    assert not roots & {"torch", "tensorflow", "keras", "sklearn", "scipy", "transformers"}

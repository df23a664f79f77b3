"""The quickstart, whole, on toy packages: its table is what its saved models score."""

import dataclasses

import numpy as np
import pytest

pytest.importorskip("torch")

from distilbert.recipes import evaluate, quickstart, quickstart_page
from distilbert.recipes.quickstart_scores import Row, Share, mean_of
from distilbert.runtime.metrics import read_metrics


@pytest.fixture
def quick(tmp_path, packages, small, fresh, monkeypatch):
    monkeypatch.setattr(quickstart, "site_packages", lambda: packages)
    monkeypatch.setattr(quickstart, "VOCABULARY", 120)
    monkeypatch.setattr(quickstart, "SHAPE", {"layers": 4, "dim": 8, "heads": 2})
    settings = quickstart.Settings(out=str(tmp_path / "run"), budget=0.003, precision="fp32")

    def run(**changes):
        fresh()
        return quickstart.main(dataclasses.replace(settings, **changes))

    return run


def scores(rows):
    return [
        (row.name, row.task.mean, row.guesses.mean if row.guesses else None, row.parameters)
        for row in rows
    ]


@pytest.mark.slow
def test_the_table_is_what_the_saved_models_score(quick, tmp_path, fresh, capsys):
    rows = quick(ablation=True)
    out = tmp_path / "run"
    names = [row.name for row in rows]
    assert names == [
        "teacher",
        *quickstart.STUDENTS,
        *quickstart.ABLATION,
        "TF-IDF and logistic regression",
    ]
    printed = capsys.readouterr().out
    assert "random start, no teacher" in printed
    assert all(0 < row.latency_ms < 1000 for row in rows[:-1])
    teacher, student = rows[:2]
    assert student.encoder * 2 == teacher.encoder

    page = (out / "report.html").read_text()
    assert page.count("<svg") == 3
    commands = [line for line in page.split("<code>") if line.startswith("distilbert evaluate")]
    assert len(commands) == (1 + quickstart.TASK_RUNS) * (len(rows) - 1)

    fresh()
    masked = evaluate.main(
        evaluate.Settings(
            model=str(out / "student" / "model"),
            task="mlm",
            data=str(out / "corpus"),
            mask_rate=quickstart.MASK_RATE,
            mask_smoothing=quickstart.MASK_SMOOTHING,
        )
    )
    assert masked["scores"]["accuracy"] == student.guesses.mean
    assert read_metrics(out / "student")[-1]["validation/accuracy"] == student.guesses.mean
    tasks = [
        evaluate.main(
            evaluate.Settings(
                model=str(out / "student" / "task" / f"seed-{seed}" / "model"),
                data=str(out / "texts" / "task-test.csv"),
                max_length=quickstart.LENGTH,
            )
        )["scores"]["accuracy"]
        for seed in range(quickstart.TASK_RUNS)
    ]
    assert student.task.mean == pytest.approx(sum(tasks) / len(tasks), abs=1e-12)

    # The same command again trains nothing; another folder with the same seed scores the same.
    again = quick()
    assert scores(again) == [score for score in scores(rows) if score[0] not in quickstart.ABLATION]
    assert scores(quick(out=str(tmp_path / "other"))) == scores(again)


def test_a_budget_of_nothing_is_refused(quick):
    with pytest.raises(ValueError, match=r"budget must be above 0, such as 1 or 0.5; got 0.0"):
        quick(budget=0.0)


def test_differences_have_the_error_of_pairs():
    one = Share(np.array([True, True, False, True]))
    other = Share(np.array([True, False, True, False]))
    assert one.mean == 0.75
    assert one.error == pytest.approx((0.75 * 0.25 / 4) ** 0.5)
    difference, error = one.minus(other)  # of 0, 1, -1, 1
    assert difference == 0.25
    assert error == pytest.approx((0.75 - 0.25**2) ** 0.5 / 2)
    both = mean_of([one, other])
    assert both.mean == pytest.approx((one.mean + other.mean) / 2)
    assert both.hits.tolist() == [1.0, 0.5, 0.5, 0.5]


def test_the_table_shows_what_does_not_apply_as_a_dash():
    share = Share(np.array([True, False]))
    teacher = Row("teacher", task=share, guesses=share, parameters=1000, size_mb=1.0)
    lines = quickstart_page.lines_of([teacher, Row("words", task=share)])
    assert lines[0]["params"] == "1,000"
    assert lines[1]["params"] == lines[1]["masked tokens"] == "–"
    assert lines[1]["kept "] == "100.0%"

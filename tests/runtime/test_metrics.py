"""metrics.jsonl of an interrupted run is that of an uninterrupted one; events for TensorBoard."""

import json
import math
import sys
from pathlib import Path

import pytest
import torch

from distilbert.runtime.metrics import Metrics, read_metrics


def without_time(folder):
    return [{k: v for k, v in line.items() if k != "time"} for line in read_metrics(folder)]


def test_lines(tmp_path):
    with Metrics(tmp_path / "run") as metrics:
        metrics.write(1, {"loss": torch.tensor(0.5), "tokens_per_s": 3})
        metrics.write(2, {"validation/loss": 1.25})
        lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()  # flushed
    assert [json.loads(line)["step"] for line in lines] == [1, 2]
    assert without_time(tmp_path / "run") == [
        {"step": 1, "loss": 0.5, "tokens_per_s": 3.0},
        {"step": 2, "validation/loss": 1.25},
    ]
    assert read_metrics(tmp_path / "nothing") == []


def test_not_finite_is_still_json(tmp_path):
    with Metrics(tmp_path) as metrics:
        metrics.write(1, {"loss": math.nan, "norm": math.inf})
    assert without_time(tmp_path) == [{"step": 1, "loss": "nan", "norm": "inf"}]


def test_resuming_drops_what_comes_after(tmp_path):
    with Metrics(tmp_path / "whole") as metrics:
        for step in range(1, 9):
            metrics.write(step, {"loss": 1 / step})
    with Metrics(tmp_path / "broken") as metrics:
        for step in range(1, 7):
            metrics.write(step, {"loss": 1 / step if step < 5 else 99})
    path = tmp_path / "broken" / "metrics.jsonl"
    path.write_bytes(path.read_bytes() + b'{"step": 7, "lo\xff')  # killed while writing
    assert len(read_metrics(tmp_path / "broken")) == 6
    with Metrics(tmp_path / "broken", step=4) as metrics:
        for step in range(5, 9):
            metrics.write(step, {"loss": 1 / step})
    assert without_time(tmp_path / "broken") == without_time(tmp_path / "whole")
    with Metrics(tmp_path / "broken") as metrics:
        metrics.write(0, {"loss": 9})  # and killed before the first checkpoint
    Metrics(tmp_path / "broken").close()
    assert read_metrics(tmp_path / "broken") == []


def test_what_is_written_again_for_the_step_is_dropped(tmp_path):
    """Killed between a validation, which a stop had put off, and its checkpoint."""
    with Metrics(tmp_path) as metrics:
        for step in (2, 4):
            metrics.write(step, {"loss": 1.0})
            metrics.write(step, {"validation/loss": 1.0})
    before = without_time(tmp_path)
    with Metrics(tmp_path, step=4, again="validation/"):
        assert without_time(tmp_path) == before[:-1]


def test_damaged_lines_are_left_out(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": "x"}\n[]\n{"step": 3, "loss": 1.0}\n{"loss": 1.0}\n')
    Metrics(tmp_path, step=4).close()
    assert path.read_text() == '{"step": 3, "loss": 1.0}\n'


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_no_room(tmp_path):
    metrics = Metrics(tmp_path)
    metrics.close()
    with Path("/dev/full").open("a", encoding="utf-8") as metrics._file:
        with pytest.raises(OSError, match=r"/dev/full cannot be written \(No space .*make room,"):
            metrics.write(1, {"loss": 1.0})
        with pytest.raises(OSError, match="make room, then start the same command"):
            metrics.close()


def test_other_ranks_write_nothing(tmp_path):
    with Metrics(tmp_path / "a", is_main=False) as metrics:
        metrics.write(1, {"loss": 1.0})
    assert not (tmp_path / "a").exists()


def test_tensorboard(tmp_path):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    with Metrics(tmp_path) as metrics:
        for step in (1, 2, 3):
            metrics.write(step, {"loss": step})
    with Metrics(tmp_path, step=2) as metrics:
        metrics.write(3, {"loss": 30})
    events = accumulator.EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert [(e.step, e.value) for e in events.Scalars("loss")] == [(1, 1), (2, 2), (3, 30)]


def test_without_tensorboard(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(ImportError, match="tensorboard is not installed: pip install tensorboard"):
        Metrics(tmp_path)
    assert not (tmp_path / "metrics.jsonl").exists()

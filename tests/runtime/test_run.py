"""The record of a run: going on with the same settings, and refusing others."""

import errno
import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

import distilbert
from distilbert.runtime import run as running
from distilbert.runtime.run import recorded_scores, start_run


@dataclass(frozen=True)
class Settings:
    corpus: str = "corpus"
    learning_rate: float = 5e-4
    layers: tuple[int, ...] = (0, 2)
    log_every: int = 10
    output: Path = Path("runs/a")


FREE = ("log_every", "output")


def start(folder, settings=None, **options):
    options = {"fingerprint": {"corpus": "abc"}, "free": FREE, "machine": {"threads": 2}} | options
    return start_run(folder, settings or Settings(), **options)


def record(folder):
    return json.loads((folder / "run.json").read_text())


def test_record(tmp_path):
    folder = tmp_path / "runs" / "a"
    with start(folder) as run:
        assert run.notes == ()
        found = record(folder)
        assert found["starts"][0]["ended"] is None
    found = record(folder)
    assert found["settings"] == {
        "corpus": "corpus",
        "learning_rate": 5e-4,
        "layers": [0, 2],
        "log_every": 10,
        "output": "runs/a",
    }
    assert found["fingerprint"] == {"corpus": "abc"}
    assert found["machine"]["threads"] == 2
    assert found["versions"]["distilbert"] == distilbert.__version__
    assert found["versions"]["torch"]
    assert found["commit"] is None or re.fullmatch(r"[0-9a-f]{40}(-dirty)?", found["commit"])
    (start_time,) = found["starts"]
    assert start_time["outcome"] == "finished"
    assert start_time["ended"] >= start_time["started"]
    assert sorted(p.name for p in folder.iterdir()) == [".lock", "run.json"]


def test_resumes_with_the_same_settings(tmp_path):
    with pytest.raises(ValueError, match="bad luck"), start(tmp_path):
        raise ValueError("bad luck")
    with start(tmp_path, Settings(log_every=1, output=Path("b"))) as run:
        assert run.notes == ()
    found = record(tmp_path)
    assert [one["outcome"] for one in found["starts"]] == ["ValueError: bad luck", "finished"]
    assert found["settings"]["log_every"] == 1


def test_goes_on_with_fp32_under_its_former_name(tmp_path):
    start(tmp_path, {"precision": "no"}, free=()).end()
    start(tmp_path, {"precision": "fp32"}, free=()).end()


def test_refuses_other_settings(tmp_path):
    start(tmp_path).end()
    text = (tmp_path / "run.json").read_text()
    with pytest.raises(ValueError, match="holds a run with other settings") as caught:
        start(
            tmp_path,
            Settings(learning_rate=1e-4, layers=(0, 1), log_every=3),
            fingerprint={"corpus": "xyz"},
        )
    message = str(caught.value)
    assert "learning_rate was 0.0005, now is 0.0001" in message
    assert "layers was [0, 2], now is [0, 1]" in message
    assert 'corpus was "corpus" with the hash "abc", now is "corpus" with the hash "xyz"' in message
    assert "log_every" not in message
    with pytest.raises(ValueError, match=r": reviews was not there, now is \"x\"\. Give"):
        start(tmp_path, fingerprint={"corpus": "abc", "reviews": "x"})
    with pytest.raises(ValueError, match="clip was not there, now is 1"):
        start(tmp_path, {**record(tmp_path)["settings"], "clip": 1})
    with pytest.raises(ValueError, match=r": a0 was .*; a7 was [^;]*; and 12 more\. Give"):
        start(tmp_path, {f"a{number:x}": 1 for number in range(15)}, free=())
    assert (tmp_path / "run.json").read_text() == text
    start(tmp_path).end()  # the lock was let go


def test_another_kind_of_run_records_other_contents(tmp_path):
    settings = {"seeds": "several", "model": "m", "teacher": None}
    start(tmp_path, settings, free=("model", "teacher"), fingerprint={}).end()
    given = {"free": ("model", "teacher"), "fingerprint": {"model": "abc"}}
    with pytest.raises(ValueError, match=r': seeds was "several", now is \[1\]\. Give'):
        start(tmp_path, settings | {"seeds": [1]}, **given)
    with pytest.raises(ValueError, match=r': model was "m", now is "m" with the hash "abc"\. Give'):
        start(tmp_path, settings, **given)
    given["fingerprint"]["teacher"] = "xyz"
    with pytest.raises(ValueError, match=r'\]; teacher was null, now is "t" with the hash "xyz"'):
        start(tmp_path, settings | {"seeds": [1], "teacher": "t"}, **given)


def test_a_record_that_knows_less(tmp_path):
    """As older versions wrote it."""
    settings = {"train": "hf:a", "augmenter": "b", "teacher": None}
    free = ("train", "augmenter", "teacher")
    before = {"train": "[1]", "model": "abc"}
    added = {"model's vocab": "v", "augmenter": "d", "augmenter's cutting": "c"}
    for name, wrong in {
        "train": {"train": "hf:b [1]"},
        "model": {"model": "xyz"},
        "teacher": {"teacher": "t"},
        "model's vocab": {"model's vocab": "other"},
    }.items():
        folder = tmp_path / name
        start(folder, settings, free=free, fingerprint=before).end()
        now = before | added | {"train": "hf:a [1]"}
        if name == "model's vocab":
            start(folder, settings, free=free, fingerprint=now).end()  # from here on it is known
            assert record(folder)["fingerprint"] == now
        with pytest.raises(ValueError, match=f": {name} was"):
            start(folder, settings, free=free, fingerprint=now | wrong)
    start(folder := tmp_path / "augmenter", settings, free=free, fingerprint=before).end()
    with pytest.raises(ValueError, match='augmenter was "b", now is "c" with the hash "d"'):
        start(folder, settings | {"augmenter": "c"}, free=free, fingerprint=before | added)


def test_a_record_of_another_version(tmp_path):
    start(tmp_path).end()
    (tmp_path / "run.json").write_text(json.dumps(record(tmp_path) | {"format": 2}))
    with pytest.raises(ValueError, match="is not the record of a run that this version can read"):
        start(tmp_path)


def test_scores_of_what_was_published(tmp_path):
    start(tmp_path).end()
    assert recorded_scores(tmp_path) is None
    with start(tmp_path) as run:
        run.scores = {"loss": 0.5}
    assert recorded_scores(tmp_path) == {"loss": 0.5}
    start(tmp_path).end("stopped")  # of which nothing else was published
    assert recorded_scores(tmp_path) == {"loss": 0.5}


def test_a_record_without_its_parts(tmp_path):
    (tmp_path / "run.json").write_text('{"format": 1, "starts": []}')
    with pytest.raises(ValueError, match=r"run\.json has no settings: it is damaged"):
        start(tmp_path)


def test_notes_what_may_change_the_last_bits(tmp_path, monkeypatch):
    start(tmp_path).end()
    monkeypatch.setattr(running, "_machine", lambda: {"host": "elsewhere", "processor": "other"})
    with start(tmp_path, machine={"threads": 4}) as run:
        assert any("threads was 2, now is 4" in note for note in run.notes)
        assert any("processor was" in note for note in run.notes)
        assert not any("host" in note for note in run.notes)


def test_other_ranks_write_nothing(tmp_path):
    with running.Run(tmp_path / "a") as run:
        assert run.notes == ()
    assert not (tmp_path / "a").exists()


def test_two_at_once(tmp_path):
    code = (
        "import sys\n"
        "from distilbert.runtime.run import start_run\n"
        "assert 'torch' not in sys.modules\n"
        "try: start_run(sys.argv[1], {'corpus': 'corpus'})\n"
        "except OSError as error: print(error)\n"
    )
    command = [sys.executable, "-W", "error", "-c", code, tmp_path / "a"]
    with start_run(tmp_path / "a", {"corpus": "corpus"}):
        done = subprocess.run(command, capture_output=True, text=True)
        assert "another process is running in" in done.stdout, done.stderr
        assert len(record(tmp_path / "a")["starts"]) == 1
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


def test_removes_what_an_interrupted_save_left(tmp_path):
    for place in (tmp_path, tmp_path / "checkpoints"):
        (place / ".saving-00000007").mkdir(parents=True)
        (place / ".saving-00000007" / "weights.safetensors").touch()
    start(tmp_path).end()
    assert not list(tmp_path.rglob(".saving*"))


@pytest.mark.parametrize("text", ["{", "[]", '{"format": 2, "starts": []}', "{}", ""])
def test_damaged_record(tmp_path, text):
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(ValueError, match=r"run\.json .*remove it and checkpoints to begin anew"):
        start(tmp_path)
    assert (tmp_path / "run.json").read_text() == text


def test_a_link_to_nothing(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "gone")
    with pytest.raises(OSError, match=r"link is a link to .*gone, which is not there: make it"):
        start(tmp_path / "link")


def test_a_record_that_there_is_no_room_for(tmp_path, monkeypatch):
    def full(path, content):
        raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))

    monkeypatch.setattr(running, "write_json", full)
    with pytest.raises(OSError, match=r"run\.json cannot be written \(.*make room, then start"):
        start(tmp_path)


def test_checkpoints_of_nobody_knows_what(tmp_path):
    start(tmp_path).end()
    (tmp_path / "run.json").unlink()
    (tmp_path / "checkpoints" / "step-00000004").mkdir(parents=True)
    with pytest.raises(
        ValueError, match=r"checkpoints has checkpoints, and there is no run\.json to say"
    ):
        start(tmp_path)
    (tmp_path / "checkpoints" / "step-00000004").rmdir()
    start(tmp_path).end()


def test_bad_arguments(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="is a file; give a folder"):
        start(tmp_path / "file")
    with pytest.raises(ValueError, match="free names 'speed', which is not a setting"):
        start(tmp_path, free=("speed",))
    with pytest.raises(TypeError, match=r"settings cannot be recorded as JSON: .* is a object"):
        start(tmp_path, {"a": object()}, free=())


def test_no_commit_outside_a_checkout(monkeypatch):
    def absent(*arguments, **options):
        raise FileNotFoundError("git")

    monkeypatch.setattr(subprocess, "run", absent)
    assert running.commit() is None

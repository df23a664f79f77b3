"""Folders written so that a reader never sees half of them, and their JSON files."""

import fcntl
import os
import stat

import pytest

from distilbert.folders import read_json, staged, write_json


class TestStaged:
    def test_replaces_together_and_removes_the_stale(self, tmp_path):
        for name in ("a.json", "old-1.bin", "old-2.bin", "mine.txt"):
            (tmp_path / name).write_text("old")
        with staged(tmp_path, replaces=["old-?.bin"]) as scratch:
            (scratch / "a.json").write_text("new")
            (scratch / "old-2.bin").write_text("new")
            assert (tmp_path / "a.json").read_text() == "old"
        assert {p.name: p.read_text() for p in tmp_path.iterdir()} == {
            "a.json": "new",
            "old-2.bin": "new",
            "mine.txt": "old",
        }

    @pytest.mark.parametrize("error", [OSError(28, "No space left"), KeyboardInterrupt()])
    def test_failure_leaves_the_old_files_and_no_scratch(self, tmp_path, error):
        (tmp_path / "a.json").write_text("old")

        def fail():
            with staged(tmp_path, replaces=["*"]) as scratch:
                (scratch / "a.json").write_text("new")
                raise error

        with pytest.raises(type(error)):
            fail()
        assert {p.name: p.read_text() for p in tmp_path.iterdir()} == {"a.json": "old"}

    def test_failure_to_flush_leaves_the_old_files(self, tmp_path, monkeypatch):
        (tmp_path / "a.json").write_text("old")
        full = OSError(28, "No space left")

        def fsync(number):
            raise full

        monkeypatch.setattr(os, "fsync", fsync)
        with pytest.raises(OSError, match="No space left"), staged(tmp_path) as scratch:
            (scratch / "a.json").write_text("new")
        assert {p.name: p.read_text() for p in tmp_path.iterdir()} == {"a.json": "old"}

    def test_only_what_may_be_written_is_flushed(self, tmp_path, monkeypatch):
        """As Windows requires."""
        modes = []
        flags = fcntl.F_GETFL
        monkeypatch.setattr(
            os, "fsync", lambda number: modes.append(fcntl.fcntl(number, flags) & os.O_ACCMODE)
        )
        with staged(tmp_path) as scratch:
            (scratch / "a.json").write_text("new")
        assert modes == [os.O_RDWR]

    @pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o027, 0o640)])
    def test_files_get_the_usual_permissions(self, tmp_path, umask, mode):
        before = os.umask(umask)
        try:
            with staged(tmp_path) as scratch:
                (scratch / "secret").touch(mode=0o600)
        finally:
            os.umask(before)
        assert stat.S_IMODE((tmp_path / "secret").stat().st_mode) == mode
        assert os.listdir(tmp_path) == ["secret"]

    def test_a_link_is_replaced_and_not_followed(self, tmp_path):
        (tmp_path / "blob").write_text("shared")
        (tmp_path / "a.json").symlink_to("blob")
        with staged(tmp_path) as scratch:
            (scratch / "a.json").write_text("new")
        assert (tmp_path / "blob").read_text() == "shared"
        assert (tmp_path / "a.json").read_text() == "new"


def test_json_is_sorted_and_readable(tmp_path):
    write_json(tmp_path / "x.json", {"b": "é", "a": 1})
    text = (tmp_path / "x.json").read_text(encoding="utf-8")
    assert text == '{\n  "a": 1,\n  "b": "é"\n}\n'


def test_json_has_escapes_for_what_utf_8_has_not(tmp_path):
    content = {"a": "\N{SNOWMAN} " + os.fsdecode(b"folder \xff")}
    write_json(tmp_path / "x.json", content)
    assert r"folder \udcff" in (tmp_path / "x.json").read_text(encoding="utf-8")
    assert read_json(tmp_path / "x.json") == content

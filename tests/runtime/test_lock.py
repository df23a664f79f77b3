"""Locks as Windows has them; where a second process is refused, the system's own are tested."""

import errno
import fcntl
import os
import sys
from types import SimpleNamespace

import pytest

from distilbert.runtime import lock

FAR = 2**31 - 2


@pytest.fixture
def locked(monkeypatch):
    """What is locked where, by a `msvcrt` whose locks belong to the open file, as Windows' do."""
    found = []

    def locking(descriptor, mode, count):
        found.append((mode, os.lseek(descriptor, 0, os.SEEK_CUR), count))
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES)) from None

    monkeypatch.setattr(lock, "sys", SimpleNamespace(platform="win32"))
    monkeypatch.setitem(sys.modules, "msvcrt", SimpleNamespace(LK_NBLCK=2, locking=locking))
    return found


def test_a_folder(locked, tmp_path):
    for _ in range(2):
        with (
            lock.held(tmp_path),
            pytest.raises(OSError, match="another process is running in"),
            lock.held(tmp_path),
        ):
            pass
    assert locked == [(2, FAR, 1)] * 4


def test_a_file(locked, tmp_path):
    path = tmp_path / "answers"
    path.write_text("old")
    with path.open("a") as file, path.open("a") as other:
        lock.take_file(file.fileno(), path)
        with pytest.raises(OSError, match="another process is writing"):
            lock.take_file(other.fileno(), path)
        file.truncate(0)
        file.write("new")
    assert path.read_text() == "new"
    assert locked == [(2, FAR, 1)] * 2


def test_a_file_system_without_locks(locked, tmp_path, monkeypatch):
    def locking(descriptor, mode, count):
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))

    monkeypatch.setattr(sys.modules["msvcrt"], "locking", locking)
    with lock.held(tmp_path):
        pass

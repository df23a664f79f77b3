"""One process at a time in a folder, or at a file."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from distilbert.folders import make_folder

LOCK_FILE = ".lock"
_LOCKED_BYTE = 2**31 - 2  # the last that Windows' C library can lock


def take(folder: Path) -> int:
    """Take a folder for this process until the returned file descriptor is closed.

    The system lets go of it however the process ends.

    Raises:
        OSError: another process has it.
    """
    descriptor = os.open(folder / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o666)
    if not _lock(descriptor):
        os.close(descriptor)
        raise OSError(
            f"another process is running in {folder}; wait for it, or give another folder"
        )
    return descriptor


def take_file(descriptor: int, path: Path) -> None:
    """Take a file that this process has opened for writing, until it is closed.

    Raises:
        OSError: another process has it, or has just given it another name.
    """
    if not _lock(descriptor) or not path.exists() or not _is_at(descriptor, path):
        raise OSError(f"another process is writing {path}; wait for it, or give another file")


def _lock(descriptor: int) -> bool:
    try:
        if sys.platform == "win32":
            import msvcrt

            # Nobody else can read what is locked there: a byte far beyond the content.
            os.lseek(descriptor, _LOCKED_BYTE, os.SEEK_SET)
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            # Held by the process, not by the open file: a worker that outlives it keeps nothing.
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    except OSError:
        pass  # a file system without locks
    return True


def _is_at(descriptor: int, path: Path) -> bool:
    return os.path.samestat(os.fstat(descriptor), path.stat())


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Hold a folder, made if missing, inside the block.

    Raises:
        OSError: it is a file, or another process has it.
    """
    make_folder(folder)
    descriptor = take(folder)
    try:
        yield
    finally:
        os.close(descriptor)

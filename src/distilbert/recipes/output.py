"""The file that a recipe writes its answer to: the whole answer under its name, or the old file."""

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from distilbert.folders import staged
from distilbert.runtime.lock import take_file
from distilbert.runtime.room import room_for

_LINKS = 40  # as many as Linux follows
_OPENED = re.compile("/dev/fd|/proc/[0-9]+(/task/[0-9]+)?/fd")


def target_of(name: str) -> Path:
    """Return the file that a name stands for; a link is followed, and stays.

    Its folder is made if missing.

    Raises:
        OSError: it is a folder, or nothing can be written where it is.
    """
    path = Path(name)
    if path.is_dir():
        raise OSError(f"{name} is a folder; give the name of a file in it")
    if (descriptor := _descriptor(path)) is not None:
        try:
            os.write(descriptor, b"")
        except OSError as error:
            raise OSError(f"{name} is not open for writing ({error.strerror})") from error
        return path
    if _is_device(path):
        return path
    target = Path(os.path.realpath(path))
    with staged(target.parent):
        pass  # a place that cannot be written is told before the work, not after
    return target


def write_output(target: Path, text: str) -> None:
    """Write a whole file, or to a device, a pipe or what is open already."""
    if _stays(target):
        with room_for(target), _open(target) as file:
            file.write(text)
        return
    with room_for(target), staged(target.parent) as scratch:
        (scratch / target.name).write_text(text, encoding="utf-8")


@contextmanager
def growing_output(target: Path) -> Iterator[TextIO]:
    """Open a file that has its name once the block has ended well, and `.partial` behind it before.

    Raises:
        OSError: it cannot be written, or another process is writing it.
    """
    if _stays(target):
        with room_for(target), _open(target) as file:
            yield file
        return
    partial = Path(f"{target}.partial")
    with room_for(partial), partial.open("a", encoding="utf-8", newline="\n") as file:
        take_file(file.fileno(), partial)
        file.truncate(0)
        yield file
        file.flush()
        if sys.platform != "win32":
            partial.replace(target)  # while it is held: nobody else has it under the old name
    if sys.platform == "win32":
        partial.replace(target)  # Windows renames no open file


def _stays(target: Path) -> bool:
    """Whether this is no file to replace: it has no whole to wait for."""
    return _descriptor(target) is not None or _is_device(target)


def _is_device(path: Path) -> bool:
    return path.exists() and not path.is_file()


def _open(target: Path) -> TextIO:
    """Open what stays; of what this process has open, its place and its content stay too."""
    descriptor = _descriptor(target)
    opened = target if descriptor is None else os.dup(descriptor)
    return open(opened, "w", encoding="utf-8", newline="\n", buffering=1)


def _descriptor(path: Path) -> int | None:
    """Return the open file of this process that a name such as /dev/stdout stands for, if any.

    Such a name leads to the file that a shell has opened, which must be neither replaced nor cut.

    Raises:
        OSError: another process has it open.
    """
    for _ in range(_LINKS):
        folder = os.path.realpath(path.parent)
        if _OPENED.fullmatch(folder) and path.name.isdecimal():
            own = os.path.realpath("/proc/self")
            if folder != "/dev/fd" and not folder.startswith(f"{own}/"):
                raise OSError(f"{path} is open in another process: give the name of the file")
            return int(path.name)
        if not path.is_symlink():
            return None
        path = path.parent / os.readlink(path)
    return None

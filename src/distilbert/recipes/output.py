"""The file that a recipe writes its answer to: the whole answer under its name, or the old file."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from distilbert.hub import staged
from distilbert.runtime.lock import take_file
from distilbert.runtime.room import room_for


def target_of(name: str) -> Path:
    """Return the file that a name stands for; a link is followed, and stays.

    Its folder is made if missing.

    Raises:
        OSError: it is a folder, or nothing can be written where it is.
    """
    path = Path(name)
    if path.is_dir():
        raise OSError(f"{name} is a folder; give the name of a file in it")
    if _is_device(path):
        return path
    target = Path(os.path.realpath(path))
    with staged(target.parent):
        pass  # a place that cannot be written is told before the work, not after
    return target


def write_output(target: Path, text: str) -> None:
    """Write a whole file, or to a device or pipe."""
    if _is_device(target):
        target.write_text(text, encoding="utf-8")
        return
    with room_for(target), staged(target.parent) as scratch:
        (scratch / target.name).write_text(text, encoding="utf-8")


@contextmanager
def growing_output(target: Path) -> Iterator[TextIO]:
    """Open a file that has its name once the block has ended well, and `.partial` behind it before.

    Raises:
        OSError: it cannot be written, or another process is writing it.
    """
    if _is_device(target):
        with room_for(target), target.open("w", encoding="utf-8", newline="\n") as file:
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


def _is_device(path: Path) -> bool:
    """Whether this is a device or a pipe, which has no whole to wait for and must stay."""
    return path.exists() and not path.is_file()
